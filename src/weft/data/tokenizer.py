"""The pieces of a pretrained encoder, as its own tokenizer makes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.data.factors import Factors
from weft.data.vocabulary import FACTORS, SPECIAL, Vocabulary
from weft.errors import WeftError
from weft.recipe import Recipe

KEY = "model.encoder.folder"
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
ABSENT = "a pretrained encoder needs Hugging Face transformers, which are not installed: pip install 'weft[contextual]'"


class Tokenizer(Vocabulary):
    """Pieces of a source alone: those of a pretrained encoder, with weft's four special ones before them.

    A line begins with what the tokenizer puts before every text, such as BERT's [CLS]; the end that batches put after
    it is the tokenizer's own, such as [SEP]. It is not learnt, and a line is always cut into the same pieces.
    """

    restores = False

    def __init__(self, model_bytes: bytes) -> None:
        """`model_bytes` is JSON: the `tokenizer`, what it puts before a text (`begin`), and ids of `pad`, `unk`, `end`.

        Raises ValueError, TypeError or KeyError where it is not.
        """
        try:
            from tokenizers import Tokenizer as Backend
        except ImportError:
            raise WeftError(ABSENT) from None
        self.model_bytes = model_bytes
        record = json.loads(model_bytes)
        try:
            self._backend = Backend.from_str(json.dumps(record["tokenizer"]))
        except Exception as error:  # the library has no narrower one
            raise ValueError(str(error)) from None
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True  # `[SEP]` in a text is text
        begin, end, unk = record["begin"], int(record["end"]), record["unk"]
        specials = [end if record["pad"] is None else record["pad"], end if unk is None else unk, *begin, end][:3]
        self.originals = [*specials, end, *range(max(self._backend.get_vocab().values()) + 1)]
        self._begin = [len(SPECIAL) + i for i in begin]
        self._unknown = None if unk is None else len(SPECIAL) + unk

    @classmethod
    def of(cls, name: str) -> Tokenizer:
        """That of a folder or of a model on the hub; WeftError where there is none, or none that weft can use."""
        with reading(name) as transformers:
            found = transformers.AutoTokenizer.from_pretrained(
                name, local_files_only=Path(name).is_dir(), trust_remote_code=False
            )
        if not found.is_fast:
            raise WeftError(
                f"{KEY}: {name} has a tokenizer in Python; expected one of the library tokenizers, which is fast"
            )
        ends = [i for i in (found.sep_token_id, found.eos_token_id) if i is not None]
        if not ends:
            raise WeftError(f"{KEY}: {name}: its tokenizer has no token that ends a text, such as [SEP] or </s>")
        around = found("").input_ids
        ended = bool(around) and around[-1] in ends
        record = {
            "begin": around[:-1] if ended else around,
            "end": around[-1] if ended else ends[0],
            "unk": found.unk_token_id,
            "pad": found.pad_token_id,
            "tokenizer": json.loads(found.backend_tokenizer.to_str()),
        }
        return cls(json.dumps(record, ensure_ascii=False).encode())

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        try:
            return cls(path.read_bytes())
        except FileNotFoundError:
            raise WeftError(f"{path}: no such vocabulary") from None
        except OSError as error:
            raise WeftError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError):
            raise WeftError(f"{path}: damaged, or not the tokenizer of a pretrained encoder") from None

    @property
    def size(self) -> int:
        return len(self.originals)

    def encode(self, text: str) -> list[int]:
        return self.encode_lines([text])[0]

    def encode_lines(self, lines: list[str], threads: int = 1) -> list[list[int]]:
        """Ids of each line with what a text begins with; nothing for a line of no pieces.

        The library has its own threads: all cores, or RAYON_NUM_THREADS.
        """
        found = self._backend.encode_batch_fast(lines, add_special_tokens=False)
        return [[*self._begin, *map(self._numbered, line.ids)] if line.ids else [] for line in found]

    def _numbered(self, original: int) -> int:
        number = original + len(SPECIAL)
        return self.unk if number == self._unknown else number

    def decode(self, ids: Iterable[int]) -> str:
        return self.decode_lines([list(ids)])[0]

    def decode_lines(self, lines: list[list[int]], threads: int = 1) -> list[str]:
        kept = [[self.originals[i] for i in ids if i > self.eos] for ids in lines]
        texts: list[str] = self._backend.decode_batch(kept, skip_special_tokens=True)
        return texts

    def control(self, piece: str) -> int | None:
        return None

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Each id's piece as the tokenizer writes it: `##ing`, `Ġthe`, `[CLS]`."""
        return [self._backend.id_to_token(self.originals[int(i)]) or "" for i in ids]


def load_source(path: Path, recipe: Recipe) -> Vocabulary:
    """The source's pieces that `save` wrote, for the encoder of a recipe."""
    if recipe.model.has_tokenizer:
        return Tokenizer.load(path)
    pieces = Vocabulary.load(path)
    return pieces.with_factors(Factors.load(path.with_suffix(FACTORS))) if recipe.factors else pieces


@contextmanager
def reading(name: str | Path) -> Iterator[Any]:
    """Hugging Face transformers, told to be silent; what they raise of a folder becomes a WeftError that names it."""
    if not (Path(name).is_dir() or HUB_NAME.fullmatch(str(name))):
        raise WeftError(f"{KEY}: {name}: no such folder")
    transformers = library()
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    except WeftError:
        raise
    except Exception as error:  # any of OSError, ValueError, KeyError, ImportError and what each model adds
        told = " ".join(str(error).split()) or type(error).__name__
        cannot = "" if Path(name).is_dir() else "is no folder here, and "
        raise WeftError(f"{KEY}: {name} {cannot}cannot be read as an encoder of transformers: {told}") from None
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def library() -> Any:
    try:
        import transformers
    except ImportError:
        raise WeftError(ABSENT) from None
    return transformers
