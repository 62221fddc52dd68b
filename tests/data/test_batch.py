from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.data.batch import Batch, Order, pad

lengths = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=120)


def order_of(pairs: list[tuple[int, int]], tokens: int, seed: int = 1) -> Order:
    source, target = (np.array(side, np.int32) for side in zip(*pairs, strict=True))
    return Order(source, target, tokens, seed)


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
    padded = sum(len(rows) * (source[rows].max() + target[rows].max() + 2) for rows in order.epoch(0))
    assert padded / (source + target + 2).sum() < 1.05


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
