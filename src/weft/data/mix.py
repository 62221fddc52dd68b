"""Which pairs an epoch has where several corpora are mixed by weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Pairs that follow one another, many times: where each run starts and how many it has."""

    starts: Rows
    counts: Rows

    def rows(self) -> Rows:
        """All their pairs, one after another."""
        before = np.cumsum(self.counts) - self.counts
        return np.repeat(self.starts - before, self.counts) + np.arange(int(self.counts.sum()))

    def windows(self, order: Rows, most: int) -> Iterator[Runs]:
        """The runs in another order, cut into as many parts of like size as have `most` pairs each."""
        ends = np.cumsum(self.counts[order])
        parts = -(-int(ends[-1]) // most) if len(ends) else 0
        cuts = np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts, "right") if parts else []
        for part in np.split(order, cuts):
            if len(part):
                yield Runs(self.starts[part], self.counts[part])


class Mix:
    """Corpora that lie one after another, each gone through `weight` times an epoch.

    With weight 0.5 an epoch has half of a corpus and the next epoch the other half; each time through takes the
    pairs in another order. After any number of epochs, no pair of a corpus was seen more than once more often than
    another. Where the corpora lie there in reverse too (`ways` 2, all of them after all of them), so it is for each
    direction.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], ways: int = 1) -> None:
        self.sizes = sizes
        self.weights = [Fraction(str(weight)) for weight in weights]
        self.ways = ways

    def epoch(self, number: int, seed: int, longest: int = 1) -> Runs:
        """The pairs of one epoch in runs of at most `longest`, which are what the order of a time through is made of.

        A pair that is there again has the total added to its number for each time.
        """
        parts: list[Runs] = []
        start = 0
        for part, size in enumerate(self.sizes):
            parts += self.part(part, start, number, seed, longest)
            start += size
        return Runs(np.concatenate([runs.starts for runs in parts]), np.concatenate([runs.counts for runs in parts]))

    def part(self, part: int, start: int, number: int, seed: int, longest: int) -> Iterator[Runs]:
        """What an epoch has of one corpus, which begins at `start`."""
        total, size = sum(self.sizes), self.sizes[part]
        every = size * self.ways
        begin, end = (int(epoch * self.weights[part] * every) for epoch in (number, number + 1))
        yield Runs(np.zeros(0, np.int64), np.zeros(0, np.int64))
        first = begin // max(1, every)
        for time in range(first, -(-end // max(1, every))):
            low, high = max(begin - time * every, 0), min(end - time * every, every)
            place = np.arange(0, size, longest)
            places = (np.arange(self.ways)[:, None] * size + place).ravel()
            counts = np.tile(np.minimum(longest, size - place), self.ways)
            if high - low < every:
                order = np.random.default_rng((seed, part, time)).permutation(len(places))
                places, counts = between(places[order], counts[order], low, high)
            way, place = np.divmod(places, size)
            yield Runs((way + (time - first) * self.ways) * total + start + place, counts)


def between(places: Rows, counts: Rows, low: int, high: int) -> tuple[Rows, Rows]:
    """Of runs one after another, those from pair `low` to before pair `high`, the first and the last cut there."""
    ends = np.cumsum(counts)
    begins = np.maximum(ends - counts, low)
    kept = np.minimum(ends, high) > begins
    skipped = begins - (ends - counts)
    return (places + skipped)[kept], (np.minimum(ends, high) - begins)[kept]
