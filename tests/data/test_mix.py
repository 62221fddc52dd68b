"""Corpora are mixed exactly by their weights, epoch after epoch, and any point of it can be found again."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.data.batch import Order
from weft.data.mix import Mix

WEIGHTS = st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.7])
corpora = st.lists(st.tuples(st.integers(1, 40), WEIGHTS), min_size=1, max_size=4)


def mixed(parts: list[tuple[int, float]], ways: int = 1) -> Mix:
    return Mix([size for size, _ in parts], [weight for _, weight in parts], ways)


@settings(max_examples=60, deadline=None)
@given(
    parts=corpora,
    ways=st.sampled_from([1, 2]),
    epochs=st.integers(1, 12),
    seed=st.integers(0, 9),
    longest=st.sampled_from([1, 3, 16]),
)
def test_weights_are_exact_over_epochs(
    parts: list[tuple[int, float]], ways: int, epochs: int, seed: int, longest: int
) -> None:
    mix, total = mixed(parts, ways), sum(size for size, _ in parts)
    seen: Counter[int] = Counter()
    for epoch in range(epochs):
        runs = mix.epoch(epoch, seed, longest)
        assert max(runs.counts, default=0) <= longest
        drawn = runs.rows()
        assert len(set(drawn.tolist())) == len(drawn)  # what is there again has another number
        seen.update((drawn % (ways * total)).tolist())
    start = 0
    for size, weight in parts:
        rows = [way * total + place for way in range(ways) for place in range(start, start + size)]
        times = [seen[row] for row in rows]
        assert sum(times) == int(epochs * Fraction(str(weight)) * size * ways)
        assert max(times) - min(times) <= 1
        start += size


def test_a_half_is_followed_by_the_other_half_and_then_by_another_half() -> None:
    mix = mixed([(3, 1.0), (1000, 0.5)])
    halves = [frozenset((mix.epoch(epoch, 1).rows()[3:]).tolist()) for epoch in range(4)]
    assert halves[0] | halves[1] == halves[2] | halves[3] == set(range(3, 1003))
    assert 200 < len(halves[0] & halves[2]) < 300


def test_twice_is_all_of_it_twice() -> None:
    mix = mixed([(2, 1.0), (3, 2.0)])
    assert sorted(mix.epoch(0, 1).rows().tolist()) == [0, 1, 2, 3, 4, 7, 8, 9]
    assert [n % 5 for n in sorted(mix.epoch(5, 1).rows().tolist())] == [0, 1, 2, 3, 4, 2, 3, 4]


def order_of(parts: list[tuple[int, float]], seed: int = 1) -> Order:
    random = np.random.default_rng(0)
    total = sum(size for size, _ in parts)
    source, target = random.integers(1, 30, (2, total)).astype(np.int32)
    return Order(source, target, 200, seed, mixed(parts))


@settings(max_examples=30, deadline=None)
@given(parts=corpora, epoch=st.integers(0, 5))
def test_batches_hold_what_the_mix_gives_within_the_budget(parts: list[tuple[int, float]], epoch: int) -> None:
    order = order_of(parts)
    assert order.mix is not None
    expected = order.mix.epoch(epoch, 1).rows()
    batches = order.epoch(epoch)
    found = np.concatenate(batches) if batches else np.zeros(0, np.int64)
    assert sorted(found.tolist()) == sorted(expected.tolist())
    for rows in batches:
        there = rows % len(order.source_lengths)
        widest = int(np.maximum(order.source_lengths[there], order.target_lengths[there]).max()) + 1
        assert len(rows) * widest <= 200 or len(rows) == 1


def test_epochs_differ_and_can_be_found_again() -> None:
    parts = [(40, 1.0), (60, 0.5), (20, 2.0)]
    epochs = [[rows.tolist() for rows in order_of(parts).epoch(epoch)] for epoch in range(4)]
    assert epochs[3] == [rows.tolist() for rows in order_of(parts).epoch(3)]
    assert all(one != other for one, other in pairwise(epochs))
    assert epochs[0] != [rows.tolist() for rows in order_of(parts, seed=2).epoch(0)]


def test_one_corpus_is_drawn_as_without_a_mix() -> None:
    order = order_of([(500, 1.0)])
    plain = Order(order.source_lengths, order.target_lengths, 200, 1)
    for epoch in range(3):
        assert [rows.tolist() for rows in order.epoch(epoch)] == [rows.tolist() for rows in plain.epoch(epoch)]


@pytest.mark.parametrize("weight", [0.01, 5.0])
def test_the_largest_batches_are_of_all_pairs(weight: float) -> None:
    order = order_of([(2, 1.0), (400, weight)])
    plain = Order(order.source_lengths, order.target_lengths, 200, 1)
    assert [rows.tolist() for rows in order.largest()] == [rows.tolist() for rows in plain.largest()]
