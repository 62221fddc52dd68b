"""Random numbers that depend on what they are for and on nothing else, so that each can be found again alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]
STEP = np.uint64(0x9E3779B97F4A7C15)


class Chance:
    """The random numbers of some examples in one epoch, the same in whatever batch they stand.

    They are SplitMix64's (Steele, Lea and Flood 2014): that of an example, a purpose and a place is the output for
    the place-th state after a start that the seed, the epoch, the example and the purpose make.
    """

    def __init__(self, seed: int, epoch: int, examples: NDArray[np.int64]) -> None:
        start = mixed(np.array([seed], np.uint64) + STEP)
        start = mixed(start + np.uint64(epoch))
        self._starts = mixed(start + examples.astype(np.uint64) * STEP)  # (B,)

    def uniform(self, purpose: int, examples: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.float64]:
        """For each pair of an example (its number in the batch) and a place, a number in [0,1)."""
        state = self._of(purpose)[examples] + (places.astype(np.uint64) + np.uint64(1)) * STEP
        return (mixed(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def seeds(self, purpose: int) -> list[int]:
        """Of each example a seed of 31 bits."""
        seeds: list[int] = (self._of(purpose) >> np.uint64(33)).tolist()
        return seeds

    def _of(self, purpose: int) -> Numbers:
        return mixed(self._starts + np.array([purpose], np.uint64) * STEP)


def mixed(state: Numbers) -> Numbers:
    """SplitMix64's output for a state."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    last: Numbers = state ^ (state >> np.uint64(31))
    return last
