from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weft.data.batch
from weft.data.batch import Batch, Lengths, Order, Rows, pad
from weft.data.mix import Mix

lengths = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=120)


def order_of(pairs: list[tuple[int, int]], tokens: int, seed: int = 1) -> Order:
    source, target = (np.array(side, np.int32) for side in zip(*pairs, strict=True))
    return Order(source, target, tokens, seed)


def waste(source: Lengths, target: Lengths, batches: list[Rows]) -> float:
    """The share of padding in the positions of both sides, ends included."""
    padded = sum(len(rows) * (source[rows].max() + target[rows].max() + 2) for rows in batches)
    return float(1 - (source + target + 2).sum() / padded)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.data.batch, "WINDOW", 40)
    monkeypatch.setattr(weft.data.batch, "RUN", 7)


@settings(max_examples=60, deadline=None)
@given(pairs=lengths, tokens=st.integers(1, 300), epoch=st.integers(0, 3))
def test_an_epoch_has_every_pair_once_and_keeps_the_budget(
    pairs: list[tuple[int, int]], tokens: int, epoch: int
) -> None:
    batches = order_of(pairs, tokens).epoch(epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(pairs)))
    for rows in batches:
        widest = max(max(pairs[row]) + 1 for row in rows)
        assert len(rows) * widest <= tokens or len(rows) == 1


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    pairs=st.integers(25_000, 40_000),
    mean=st.floats(12, 25),
    spread=st.floats(0.1, 0.35),
    apart=st.floats(0.05, 0.15),
)
def test_little_is_padding_where_lengths_are_those_of_sentences(
    seed: int, pairs: int, mean: float, spread: float, apart: float
) -> None:
    random = np.random.default_rng(seed)
    source = random.lognormal(np.log(mean), spread, pairs)
    target = source * random.lognormal(0.0, apart, pairs)
    source, target = (np.clip(side, 1, 256).astype(np.int32) for side in (source, target))
    batches = Order(source, target, 4096, seed).epoch(0)
    assert waste(source, target, batches) < 0.05
    assert len(batches) < 1.03 * (np.maximum(source, target) + 1).sum() / 4096 + 10  # and they are full


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("count", [1, 39, 40, 41, 300, 1001])
def test_windows_hold_every_pair_once_and_any_place_is_found_again(count: int) -> None:
    random = np.random.default_rng(count)
    source, target = random.integers(1, 30, (2, count)).astype(np.int32)
    order = Order(source, target, 200, 1)
    batches = [rows.tolist() for rows in order.epoch(2)]
    assert sorted(row for rows in batches for row in rows) == list(range(count))
    assert all(len(rows) * (max(source[rows].max(), target[rows].max()) + 1) <= 200 for rows in batches)
    for position in range(0, len(batches) + 1, 7):
        rest = Order(source, target, 200, 1).rest(2, position)
        assert [rows.tolist() for rows in rest] == batches[position:]
    assert count < 40 or batches != [rows.tolist() for rows in order.epoch(3)]


@pytest.mark.usefixtures("small_windows")
def test_a_window_is_filled_with_runs_from_anywhere() -> None:
    lengths = np.full(1000, 9, np.int32)
    batches = list(islice(Order(lengths, lengths, 40, 1).rest(0, 0), 10))
    runs = {row // 7 for row in np.concatenate(batches).tolist()}
    assert len(runs) <= 40 // 7 + 1 and max(runs) - min(runs) > 50
    assert any(len({row // 7 for row in rows.tolist()}) > 1 for rows in batches)  # runs are mixed within it


@pytest.mark.usefixtures("small_windows")
def test_of_many_pairs_the_longest_are_among_the_largest() -> None:
    random = np.random.default_rng(0)
    source, target = random.integers(1, 30, (2, 2000)).astype(np.int32)
    target[1234] = 90
    order = Order(source, target, 200, 1, Mix([500, 1500], [1.0, 2.0]))
    assert any(1234 in rows for rows in order.largest())


def test_epochs_differ_and_can_be_found_again() -> None:
    random = np.random.default_rng(0)
    pairs = [tuple(pair) for pair in random.integers(3, 30, (500, 2)).tolist()]
    order, again = order_of(pairs, 400), order_of(pairs, 400)
    assert [rows.tolist() for rows in order.epoch(4)] == [rows.tolist() for rows in again.epoch(4)]
    assert [rows.tolist() for rows in order.epoch(4)] != [rows.tolist() for rows in order.epoch(5)]
    assert [rows.tolist() for rows in order.epoch(4)] != [
        rows.tolist() for rows in order_of(pairs, 400, seed=2).epoch(4)
    ]


def test_like_lengths_go_together() -> None:
    random = np.random.default_rng(0)
    source = random.integers(4, 40, 20_000)
    target = np.clip(source + random.integers(-3, 4, 20_000), 1, None)
    order = Order(source.astype(np.int32), target.astype(np.int32), 4096, 1)
    assert waste(source, target, order.epoch(0)) < 0.03


@settings(max_examples=40, deadline=None)
@given(pairs=lengths, tokens=st.integers(1, 300))
def test_no_batch_needs_more_than_the_largest(pairs: list[tuple[int, int]], tokens: int) -> None:
    order = order_of(pairs, tokens)

    def needs(rows: np.ndarray) -> tuple[int, int]:
        source, target = (max(pairs[row][side] for row in rows) + 1 for side in (0, 1))
        return len(rows) * (source + target), len(rows) * max(source, target) ** 2

    largest = [needs(rows) for rows in order.largest()]
    for rows in order.epoch(0):
        assert needs(rows)[0] <= max(need[0] for need in largest)
        assert needs(rows)[1] <= max(need[1] for need in largest)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(st.integers(4, 99), max_size=9), min_size=1, max_size=9), count=st.integers(1, 12))
def test_parts_of_a_batch_are_the_batch(rows: list[list[int]], count: int) -> None:
    batch = Batch(pad(rows, last=3), pad(rows, first=2), pad(rows, last=3), np.arange(len(rows)))
    seen = []
    for part in batch.parts(count):
        assert part.source.data.size(1) == int(part.source.lengths.max())
        for row, length in enumerate(part.source.lengths.tolist()):
            seen.append(part.source.data[row, :length].tolist())
            assert part.fed.data[row, :length].tolist() == [2, *rows[part.rows[row]]]
    assert seen == [[*row, 3] for row in rows]
