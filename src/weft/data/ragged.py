"""Rows of different lengths in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """All rows one after another, and how long each is."""

    values: NDArray[np.int32]
    lengths: NDArray[np.int32]  # (rows,)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        lengths = np.fromiter(map(len, rows), np.int32, len(rows))
        return cls(np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum())), lengths)

    @property
    def offsets(self) -> NDArray[np.int32]:
        """(rows + 1,) where each row begins, and the end."""
        return np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int32)

    def lists(self, places: list[int]) -> list[list[int]]:
        """The rows of these places."""
        offsets = self.offsets
        return [self.values[offsets[place] : offsets[place + 1]].tolist() for place in places]

    def chosen(self, rows: NDArray[np.bool_]) -> Ragged:
        """The rows where it is true."""
        return Ragged(self.values[np.repeat(rows, self.lengths)], self.lengths[rows])

    def rows(self, places: NDArray[np.integer[Any]]) -> Ragged:
        """The rows of these places, as often as each is there."""
        lengths, starts = self.lengths[places], self.offsets[places]
        before = np.cumsum(lengths) - lengths
        return Ragged(self.values[np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))], lengths)

    def joined(self, counts: NDArray[np.int64]) -> Ragged:
        """Each so many rows, one at least, as one."""
        starts = np.cumsum(counts) - counts
        lengths = np.add.reduceat(self.lengths, starts) if len(starts) else self.lengths[:0]
        return Ragged(self.values, lengths.astype(np.int32))

    def followed(self, other: Ragged) -> Ragged:
        return Ragged(np.concatenate([self.values, other.values]), np.concatenate([self.lengths, other.lengths]))

    @staticmethod
    def merged(first: Ragged, second: Ragged, of_second: NDArray[np.bool_]) -> Ragged:
        """Rows of the one and the other in their order, by which it is that the next is of."""
        lengths = np.empty(len(of_second), np.int32)
        lengths[~of_second], lengths[of_second] = first.lengths, second.lengths
        from_second = np.repeat(of_second, lengths)
        values = np.empty(len(from_second), np.int32)
        values[~from_second], values[from_second] = first.values, second.values
        return Ragged(values, lengths)
