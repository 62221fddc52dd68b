"""What goes with a source piece."""

from __future__ import annotations

import numpy as np
import pytest

from weft.data import lexicon
from weft.data.lexicon import Lexicon


class Pairs:
    """A corpus of ids."""

    def __init__(self, pairs: list[tuple[list[int], list[int]]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def source(self, i: int) -> np.ndarray:
        return np.array(self.pairs[i][0], np.int32)

    def target(self, i: int) -> np.ndarray:
        return np.array(self.pairs[i][1], np.int32)


def by_the_book(pairs: list[tuple[list[int], list[int]]], empty: int, rounds: int) -> dict[tuple[int, int], float]:
    """IBM model 1 with dictionaries, from t(y | x) that are all alike."""
    likely: dict[tuple[int, int], float] = {}
    for number in range(rounds):
        shares: dict[tuple[int, int], float] = {}
        for source, target in pairs:
            beside = [*source, empty]
            for y in target:
                each = [1.0 if number == 0 else likely[x, y] for x in beside]
                for x, one in zip(beside, each, strict=True):
                    shares[x, y] = shares.get((x, y), 0.0) + one / sum(each)
        sums: dict[int, float] = {}
        for (x, _), share in shares.items():
            sums[x] = sums.get(x, 0.0) + share
        likely = {(x, y): share / sums[x] for (x, y), share in shares.items()}
    return likely


def random_pairs() -> list[tuple[list[int], list[int]]]:
    """Target i + 1 goes with source i, in another order."""
    random = np.random.default_rng(3)
    sources = [random.integers(4, 12, random.integers(1, 6)) for _ in range(80)]
    return [(source.tolist(), (random.permutation(source) + 1).tolist()) for source in sources]


@pytest.mark.parametrize("events", [10_000, 50, 1])
def test_probabilities_are_those_of_the_model(events: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon, "EVENTS", events)
    pairs = random_pairs()
    found = Lexicon(Pairs(pairs), 12, 14)  # type: ignore[arg-type]
    expected = by_the_book(pairs, 12, lexicon.ROUNDS)
    assert len(found.keys) == len(expected)
    for key, probability in zip(found.keys.tolist(), found.probabilities, strict=True):
        assert probability == pytest.approx(expected[divmod(key, 14)])


def test_the_likeliest_come_first() -> None:
    found = Lexicon(Pairs(random_pairs()), 12, 14)  # type: ignore[arg-type]
    table = found.best(3, filler=3)
    assert table[4:, 0].tolist() == list(range(5, 13))
    assert table[:4].tolist() == [[3, 3, 3]] * 4  # were in no source
    assert found.counts[5:13].min() > 0 and not found.counts[:5].any()


def test_pieces_that_met_least_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon, "MET", 30)
    found = Lexicon(Pairs(random_pairs()), 12, 14)  # type: ignore[arg-type]
    assert len(found.keys) == 30
    assert (np.diff(found.keys) > 0).all()
    assert found.best(1, filler=3)[4:, 0].tolist() == list(range(5, 13))
