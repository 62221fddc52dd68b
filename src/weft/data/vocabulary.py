"""SentencePiece pieces <-> ids.

Text comes back as it went in, with two exceptions that `round_trip` finds: the character U+2581, which
SentencePiece writes spaces as, comes back as a space; and words or characters that the vocabulary does not have
are lost where there is no byte fallback.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import sentencepiece
from numpy.typing import NDArray

import weft.recipe.data
from weft.data.factors import Factors
from weft.errors import WeftError
from weft.files import replaced

SAMPLE = 1_000_000  # lines to learn from
LONGEST = 16_000  # characters of a line to learn from
LONGEST_WORD = 1000  # characters of a piece that is a word; of more than 4,000 bytes, SentencePiece refuses its own
SEED = 1
BLOCK = 10_000  # lines that are sampled together
THREADS = 4  # of the trainer, the same on every machine, because sums of floats depend on it
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
BYTES = 256
SPACE = "\u2581"
RESERVED = "\t\r\x1f\u2585"  # SentencePiece's trainer, by version, cuts lines and marks unknown text with these
FACTORS = ".factors.json"  # in the place of the suffix of the pieces
TYPES = {"word": "word", "character": "char", "bpe": "bpe", "unigram": "unigram"}


class Vocabulary:
    """Pieces of one side, learnt from its text: `learn`, or `load` what was learnt."""

    pad = 0
    unk = 1
    bos = 2
    eos = 3
    restores = True  # text is meant to come back from its pieces
    factors: Factors | None = None  # of a source whose words have features beside them

    def __init__(self, model_bytes: bytes, factors: Factors | None = None) -> None:
        self.model_bytes = model_bytes
        self.factors = factors
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model_bytes)

    def __reduce__(self) -> tuple[type[Vocabulary], tuple[Any, ...]]:
        return type(self), (self.model_bytes, self.factors) if self.factors else (self.model_bytes,)

    def with_factors(self, factors: Factors) -> Vocabulary:
        """The same pieces of a source whose words have these features beside them."""
        return Vocabulary(self.model_bytes, factors)

    @classmethod
    def learn(
        cls,
        lines: Iterable[str],
        settings: weft.recipe.data.Vocabulary,
        normalization: str,
        path: Path,
        control: Iterable[str] = (),
        whole: Iterable[str] = (),
    ) -> Vocabulary:
        """Learn at most `settings.size` pieces, fewer where the text has fewer, and write them to `path` (.model).

        `word` splits at spaces and leaves rarer words unknown, and those of more than 1,000 characters; the other
        kinds have every character of all lines. `byte_fallback` concerns bpe and unigram; SentencePiece has none for
        words and characters. Of more than a million lines a fixed random sample is learnt from, of very long lines
        the first 16,000 characters. Equal lines give equal pieces. Pieces of `control` follow the special ones; no
        text is encoded as them. Pieces of `whole`, with U+2581 for a space, are never cut. Raises WeftError where
        there is no text, or where `size` cannot hold all characters.
        """
        sample, characters = sampled(lines)
        if settings.kind == "word":
            sample = [line for line in map(of_short_words, sample) if line]
        control, whole = list(control), list(whole)
        if not sample:
            raise WeftError(f"vocabulary.{path.stem}: there is no text to make a vocabulary from")
        if normalization == "nfkc":
            characters = {part for character in characters for part in normalize("NFKC", character)} - {" "}
        reserved = sorted(characters & set(RESERVED))
        with_bytes = settings.byte_fallback and settings.kind in ("bpe", "unigram")
        if settings.kind != "word":
            smallest = len(SPECIAL) + len(control) + len(whole) + BYTES * with_bytes + len(characters | {SPACE})
            if settings.size < smallest:
                raise WeftError(
                    f"vocabulary.{path.stem}: size {settings.size} is too small for kind {settings.kind}: the text has "
                    f"{len(characters)} different characters; the smallest possible is {smallest}"
                    + (f", or {smallest - BYTES} with byte_fallback: false" if with_bytes else "")
                )
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sample),
                model_writer=model,
                model_type=TYPES[settings.kind],
                vocab_size=settings.size,
                hard_vocab_limit=False,
                byte_fallback=with_bytes,
                normalization_rule_name=normalization,
                remove_extra_whitespaces=False,
                add_dummy_prefix=settings.kind != "character",
                character_coverage=1.0,
                required_chars="" if settings.kind == "word" else "".join(sorted(characters - {SPACE, *RESERVED})),
                control_symbols=control,
                user_defined_symbols=[] if settings.kind == "word" else [*reserved, *whole],
                max_sentence_length=8 * LONGEST,
                num_threads=THREADS,
                pad_id=cls.pad,
                unk_id=cls.unk,
                bos_id=cls.bos,
                eos_id=cls.eos,
                pad_piece=SPECIAL[0],
                unk_piece=SPECIAL[1],
                bos_piece=SPECIAL[2],
                eos_piece=SPECIAL[3],
                minloglevel=4,
            )
        except RuntimeError as error:
            raise WeftError(f"vocabulary.{path.stem}: SentencePiece cannot learn from this text: {error}") from None
        vocabulary = cls(model.getvalue())
        vocabulary.save(path)
        return vocabulary

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """What `learn` or `save` wrote; WeftError where it is missing, damaged, or not made by weft."""
        try:
            vocabulary = cls(path.read_bytes())
        except FileNotFoundError:
            raise WeftError(f"{path}: no such vocabulary") from None
        except OSError as error:
            raise WeftError(f"{path}: cannot be read: {error.strerror}") from None
        except RuntimeError:
            raise WeftError(f"{path}: damaged, or not a SentencePiece model") from None
        if vocabulary.size < len(SPECIAL):
            raise WeftError(f"{path}: damaged: it holds {vocabulary.size} pieces")
        first = vocabulary.pieces(range(len(SPECIAL)))
        if first != SPECIAL:
            raise WeftError(f"{path}: starts with the pieces {' '.join(first)}; expected {' '.join(SPECIAL)}")
        return vocabulary

    def save(self, path: Path) -> None:
        """Write the SentencePiece model in one step in the place of what was there, and the features beside it."""
        with replaced(path) as beside:
            beside.write_bytes(self.model_bytes)
        if self.factors:
            self.factors.save(path.with_suffix(FACTORS))

    @property
    def size(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Ids of one line, without `bos` and `eos`."""
        return self.encode_lines([text])[0]

    def encode_lines(self, lines: list[str], threads: int = 1) -> list[list[int]]:
        """Ids of each line, without `bos` and `eos`, made in so many native threads."""
        ids: list[list[int]] = self._processor.encode(lines, num_threads=threads) if lines else []
        if self.of_words:
            ids = [self.unfolded(line, of) if self.unk in of else of for line, of in zip(lines, ids, strict=True)]
        return ids

    def unfolded(self, line: str, folded: list[int]) -> list[int]:
        """Ids of a line's words, one each, where SentencePiece makes one of unknown words that stand together."""
        words: list[list[int]] = self._processor.encode(line.split(" "))
        found = [i for word in words for i in word]
        return found if len(found) >= len(folded) else folded

    def sample(self, line: str, strength: float, seed: int) -> list[int]:
        """Ids of one line in pieces drawn anew, the same for the same seed of 31 bits.

        `strength` is the alpha of unigram (Kudo 2018), drawn from all segmentations, or the dropout of bpe (Provilkov
        et al. 2020). SentencePiece takes a seed for all later threads, in some versions for no running one; a list of
        two lines is encoded in a thread of its own.
        """
        sentencepiece.set_random_generator_seed(seed)
        ids: list[int] = self._processor.encode(
            [line, ""], enable_sampling=True, nbest_size=-1, alpha=strength, num_threads=1
        )[0]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; padding, unknown, beginning and end give nothing."""
        text: str = self._processor.decode([int(i) for i in ids if i > self.eos])
        return text

    def decode_lines(self, lines: list[list[int]], threads: int = 1) -> list[str]:
        """`decode` of each line, in so many native threads."""
        kept = [ids if min(ids, default=0) > self.eos else [i for i in ids if i > self.eos] for ids in lines]
        texts: list[str] = self._processor.decode(kept, num_threads=threads) if kept else []
        return texts

    @property
    def line_breaks(self) -> list[int]:
        """Ids that would break the line they are decoded to."""
        found = [self._processor.piece_to_id(piece) for piece in ("<0x0A>", "\n")]
        return [i for i in found if i != self.unk]

    def control(self, piece: str) -> int | None:
        """The id of a piece that no text is encoded as, or None where there is no such."""
        found = int(self._processor.piece_to_id(piece))
        return found if self._processor.is_control(found) else None

    @property
    def letters(self) -> str:
        """Every letter that a piece of text holds, sorted."""
        texts = (self._processor.id_to_piece(i) for i in range(self.eos + 1, self.size) if self._is_text(i))
        return "".join(sorted({character for text in texts for character in text if character.isalpha()}))

    def _is_text(self, i: int) -> bool:
        return not (self._processor.is_byte(i) or self._processor.is_control(i))

    @cached_property
    def of_words(self) -> bool:
        """Whether every piece is a whole word."""
        texts = [self._processor.id_to_piece(i) for i in range(self.eos + 1, self.size) if self._is_text(i)]
        return all(text.startswith(SPACE) for text in texts)

    @cached_property
    def word_starts(self) -> list[bool]:
        """Whether each piece begins a word; where all pieces are words, an unknown one does too."""
        begins = [piece.startswith(SPACE) for piece in self.pieces(range(self.size))]
        begins[self.unk] = self.of_words
        return begins

    @cached_property
    def starts(self) -> NDArray[np.bool_]:
        """(V,) the same."""
        return np.array(self.word_starts)

    def words(self, ids: Sequence[int]) -> int:
        """How many words a line of these ids has; the first piece begins one, whatever it is."""
        return sum(self.word_starts[i] for i in ids[1:]) + bool(ids)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Each id's piece as SentencePiece writes it: U+2581 for a space, `<0x0A>` for a byte."""
        return [self._processor.id_to_piece(int(i)) for i in ids]


def round_trip(vocabulary: Vocabulary, lines: Iterable[str]) -> list[str]:
    """Those of the lines that do not come back unchanged from encoding and decoding."""
    given = list(lines)
    back = vocabulary.decode_lines(vocabulary.encode_lines(given))
    return [line for line, other in zip(given, back, strict=True) if line != other]


def sampled(lines: Iterable[str]) -> tuple[list[str], set[str]]:
    """At most SAMPLE lines that are not empty, fit for the trainer, and the characters of all lines (no spaces).

    Algorithm R of Vitter (1985), Random Sampling with a Reservoir, with a fixed seed.
    """
    sample: list[str] = []
    there = np.zeros(sys.maxunicode + 1, np.bool_)
    random = np.random.default_rng(SEED)
    seen, lines = 0, filter(None, lines)
    while block := list(islice(lines, BLOCK)):
        there[np.frombuffer("".join(block).encode("utf-32-le"), np.uint32)] = True
        first = block[: SAMPLE - len(sample)]
        sample += map(learnable, first)
        places = random.integers(0, seen + 1 + np.arange(len(first), len(block)))
        for place, line in zip(places.tolist(), block[len(first) :], strict=True):
            if place < SAMPLE:
                sample[place] = learnable(line)
        seen += len(block)
    return sample, {chr(character) for character in np.flatnonzero(there)} - {" "}


def of_short_words(line: str) -> str:
    if len(line) <= LONGEST_WORD:
        return line
    return " ".join(word for word in line.split(" ") if len(word) <= LONGEST_WORD)


def learnable(line: str) -> str:
    line = line[:LONGEST]
    for sign in RESERVED:
        line = line.replace(sign, " ")
    return line
