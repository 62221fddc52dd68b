"""Which target pieces go with a source piece, learnt from pairs: IBM model 1 (Brown et al. 1993).

E events: every target piece of every pair beside every source piece of it, and beside nothing. A block of pairs makes
some two million of them at a time; what is kept between blocks is one number for each two pieces that ever met.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.data.corpus import Corpus
from weft.data.ragged import Ragged

PAIRS = 200_000  # of a larger corpus so many, evenly spread
EVENTS = 2_000_000  # of a block
MET = 20_000_000  # pieces that met; of more, those that met least are forgotten
ROUNDS = 5  # of expectation and maximisation

Keys = NDArray[np.int64]
Numbers = NDArray[np.float64]


class Lexicon:
    """t(y | x) for all pieces that met; of source pieces, the one after the last is the empty word."""

    def __init__(self, corpus: Corpus, source_size: int, target_size: int) -> None:
        self.source_size, self.target_size = source_size, target_size
        self.sides = chosen(corpus)
        self.counts = np.bincount(self.sides[1].values, minlength=target_size)  # (V,) of each target piece
        self.keys, shares = self.met()
        self.probabilities = self.normalized(shares)
        for _ in range(ROUNDS - 1):
            self.probabilities = self.normalized(self.expected())

    def met(self) -> tuple[Keys, Numbers]:
        """Pieces that met, as numbers, and the shares that they have when all source pieces of a pair are alike."""
        keys: Keys = np.zeros(0, np.int64)
        shares: Numbers = np.zeros(0)
        for of_block, target, lengths in self.events():
            found, places = np.unique(of_block, return_inverse=True)
            alike = np.bincount(places, (1 / lengths)[target])
            keys, places = np.unique(np.concatenate([keys, found]), return_inverse=True)
            shares = np.bincount(places, np.concatenate([shares, alike])).astype(np.float64)
            if len(keys) > MET:
                kept = np.sort(np.argpartition(shares, -MET)[-MET:])
                keys, shares = keys[kept], shares[kept]
        return keys, shares

    def events(self) -> Iterator[tuple[Keys, Keys, NDArray[np.int32]]]:
        """Of each block: two pieces as one number (E,), their target place (E,), the source pieces of each place."""
        source, target = self.sides
        starts, begins = source.offsets, target.offsets
        made = np.cumsum((source.lengths.astype(np.int64) + 1) * target.lengths)
        ends = np.unique(np.searchsorted(made, np.arange(EVENTS, made[-1] + EVENTS, EVENTS), "left") + 1)
        first = 0
        for last in np.minimum(ends, len(made)).tolist():
            if last == first:
                continue
            of_source = with_empty(
                Ragged(source.values[starts[first] : starts[last]], source.lengths[first:last]), self.source_size
            )
            said, lengths = target.values[begins[first] : begins[last]], target.lengths[first:last]
            beside = of_source.rows(np.repeat(np.arange(last - first), lengths))  # a row for each target piece
            places = np.repeat(np.arange(len(said)), beside.lengths)
            yield beside.values.astype(np.int64) * self.target_size + said[places], places, beside.lengths
            first = last

    def expected(self) -> Numbers:
        """The share that each source piece has in target pieces, summed over all pairs."""
        shares = np.zeros(len(self.keys))
        for of_block, target, lengths in self.events():
            slots = np.searchsorted(self.keys, of_block).clip(max=len(self.keys) - 1)
            likely = np.where(self.keys[slots] == of_block, self.probabilities[slots], 0.0)
            sums = np.bincount(target, likely, len(lengths))[target]
            likely = np.divide(likely, sums, out=likely, where=sums > 0)
            shares += np.bincount(slots, likely, len(self.keys))
        return shares

    def normalized(self, shares: Numbers) -> Numbers:
        sources = self.keys // self.target_size
        found: Numbers = shares / np.maximum(np.bincount(sources, shares, self.source_size + 1)[sources], 1e-300)
        return found

    def best(self, count: int, filler: int) -> NDArray[np.int32]:
        """(source_size, count) the likeliest target pieces of each source piece, likeliest first, then `filler`."""
        sources, targets = np.divmod(self.keys, self.target_size)
        order = np.lexsort((-self.probabilities, sources))
        sources, targets = sources[order], targets[order]
        rank = np.arange(len(sources)) - np.searchsorted(sources, sources)
        kept = (rank < count) & (sources < self.source_size)
        table = np.full((self.source_size, count), filler, np.int32)
        table[sources[kept], rank[kept]] = targets[kept]
        return table


def chosen(corpus: Corpus) -> tuple[Ragged, Ragged]:
    rows: list[int] = np.linspace(0, len(corpus) - 1, min(len(corpus), PAIRS)).astype(int).tolist()
    sides: list[list[Any]] = [[corpus.source(row) for row in rows], [corpus.target(row) for row in rows]]
    source, target = (Ragged(np.concatenate(side), np.array([len(ids) for ids in side], np.int32)) for side in sides)
    return source, target


def with_empty(rows: Ragged, word: int) -> Ragged:
    """Each row with one more piece at its end."""
    values = np.insert(rows.values, rows.offsets[1:], word)
    return Ragged(values, rows.lengths + np.int32(1))
