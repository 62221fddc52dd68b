"""The target pieces that may be said to a source, so that the output layer is small (Jean et al. 2015, section 3.2).

S' source vocabulary, V target vocabulary, C pieces of a source piece, F frequent ones, K pieces of a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from weft.data.corpus import Corpus
from weft.data.lexicon import Lexicon
from weft.data.vocabulary import SPECIAL, Vocabulary
from weft.errors import WeftError
from weft.files import replaced

FILE = "shortlist.npz"

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Shortlist:
    best: Ids  # (S',C) what goes with each source piece
    frequent: Ids  # (F,) what may always be said
    size: int  # V
    shared: bool  # whether a source piece is a target piece too, and may be said as it is

    @classmethod
    def learn(
        cls, corpus: Corpus, source_size: int, target_size: int, shared: bool, best: int, frequent: int
    ) -> Shortlist:
        """From pairs: `best` pieces of each source piece, and the `frequent` most frequent ones of all targets."""
        lexicon = Lexicon(corpus, source_size, target_size)
        often = np.argsort(-lexicon.counts, kind="stable")[:frequent].astype(np.int32)
        return cls(lexicon.best(best, Vocabulary.eos), often, target_size, shared)

    def save(self, folder: Path) -> None:
        with replaced(folder / FILE) as beside, open(beside, "wb") as file:
            shape = np.array([self.size, self.shared], np.int64)
            np.savez(file, best=self.best, frequent=self.frequent, shape=shape)

    @classmethod
    def load(cls, folder: Path, source_size: int, target_size: int) -> Shortlist:
        """What `save` wrote; WeftError where it is missing, damaged or of other vocabularies."""
        path = folder / FILE
        try:
            with np.load(path, allow_pickle=False) as file:
                best, frequent, (size, shared) = file["best"], file["frequent"], file["shape"].tolist()
        except FileNotFoundError:
            raise WeftError(f"{path}: no such shortlist; make it with: weft shortlist {folder}") from None
        except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
            raise WeftError(f"{path}: damaged: {error}") from None
        if (len(best), size) != (source_size, target_size):
            raise WeftError(
                f"{path}: of vocabularies with {len(best):,} and {size:,} pieces; the model's have {source_size:,} and "
                f"{target_size:,}. Make it anew with: weft shortlist {folder}"
            )
        return cls(best, frequent, size, bool(shared))

    @cached_property
    def always(self) -> NDArray[np.bool_]:
        """(V,) the special pieces, which keep their numbers in every list, and the frequent ones."""
        found = np.zeros(self.size, np.bool_)
        found[: len(SPECIAL)] = True
        found[self.frequent] = True
        return found

    def of(self, sources: Iterable[Sequence[int]], more: Iterable[int], never: Sequence[int]) -> NDArray[np.int64]:
        """(K,) sorted ids: what goes with any of the sources, `more`, and what is always there, but not `never`."""
        found = self.always.copy()
        pieces = np.fromiter({i for ids in sources for i in ids}, np.int64)
        found[self.best[pieces]] = True
        if self.shared:
            found[pieces] = True
        found[list(never)] = False
        found[: len(SPECIAL)] = True
        found[list(more)] = True
        return np.flatnonzero(found)
