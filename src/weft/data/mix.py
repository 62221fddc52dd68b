"""Which pairs an epoch has where several corpora are mixed by weight."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


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

    def epoch(self, number: int, seed: int) -> Rows:
        """The pairs of one epoch. One that is there again has the total added to its number for each time."""
        parts, start = [], 0
        for part, size in enumerate(self.sizes):
            parts.append(self.part(part, start, number, seed))
            start += size
        return np.concatenate(parts)

    def part(self, part: int, start: int, number: int, seed: int) -> Rows:
        """What an epoch has of one corpus, which begins at `start`."""
        total, size = sum(self.sizes), self.sizes[part] * self.ways
        begin, end = (int(epoch * self.weights[part] * size) for epoch in (number, number + 1))
        found = [np.zeros(0, np.int64)]
        first = begin // size
        for time in range(first, -(-end // size)):
            low, high = max(begin - time * size, 0), min(end - time * size, size)
            places = np.arange(size)
            if high - low < size:
                places = np.random.default_rng((seed, part, time)).permutation(size)[low:high]
            way, place = np.divmod(places, self.sizes[part])
            found.append((way + (time - first) * self.ways) * total + start + place)
        return np.concatenate(found)
