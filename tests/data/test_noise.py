"""Noise does what it says, as often as it says, and the same to an example wherever that stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weft.data.batch import Pixels, pad
from weft.data.chance import Chance
from weft.data.noise import drop_fed, mistyped, noisy, speckled
from weft.recipe import Noise

UNK = 1
LETTERS = "abcdexyz"

sentences = st.lists(st.lists(st.integers(4, 30), max_size=12), min_size=1, max_size=8)
lines = st.lists(st.text("abc xé\t", max_size=15), min_size=1, max_size=6)
noise = st.builds(
    Noise,
    drop=st.sampled_from([0.0, 0.3, 0.99]),
    mask=st.sampled_from([0.0, 0.3, 0.99]),
    swap=st.integers(0, 4),
)
numbers = st.integers(0, 2**40)


def arrays(rows: list[list[int]]) -> list[NDArray[np.int32]]:
    return [np.array(row, np.int32) for row in rows]


def chance(count: int, seed: int = 1, epoch: int = 0, first: int = 0) -> Chance:
    return Chance(seed, epoch, np.arange(first, first + count))


def noised(rows: list[list[int]], kind: Noise, seed: int = 1, epoch: int = 0, first: int = 0) -> list[list[int]]:
    return [ids.tolist() for ids in noisy(arrays(rows), kind, chance(len(rows), seed, epoch, first), UNK)]


@settings(max_examples=50, deadline=None)
@given(rows=sentences, kind=noise, seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000), first=numbers)
def test_an_example_gets_its_noise_whatever_it_stands_with(
    rows: list[list[int]], kind: Noise, seed: int, epoch: int, first: int
) -> None:
    together = noised(rows, kind, seed, epoch, first)
    alone = [noised([row], kind, seed, epoch, first + number)[0] for number, row in enumerate(rows)]
    assert together == alone


@settings(max_examples=50, deadline=None)
@given(rows=sentences, kind=noise, epoch=st.integers(0, 99))
def test_no_source_is_left_empty_and_nothing_is_made_up(rows: list[list[int]], kind: Noise, epoch: int) -> None:
    for row, after in zip(rows, noised(rows, kind, epoch=epoch), strict=True):
        assert bool(after) == bool(row)
        left = list(row)
        for token in after:
            if token != UNK:
                left.remove(token)
        assert len(after) <= len(row)


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 40), k=st.integers(1, 6), epoch=st.integers(0, 99))
def test_tokens_move_by_at_most_so_many_places(length: int, k: int, epoch: int) -> None:
    (after,) = noised([list(range(4, 4 + length))], Noise(swap=k), epoch=epoch)
    assert sorted(after) == list(range(4, 4 + length))
    assert all(abs(place - (token - 4)) <= k for place, token in enumerate(after))


def test_every_distance_up_to_the_largest_occurs() -> None:
    seen = set()
    for after in noised([list(range(20))] * 500, Noise(swap=3)):
        seen |= {abs(place - token) for place, token in enumerate(after)}
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("part", [0.1, 0.5])
def test_rates_are_those_asked_for(part: float) -> None:
    rows = [list(range(4, 24))] * 2000
    total, deviation = 40_000, (40_000 * part * (1 - part)) ** 0.5
    dropped = total - sum(map(len, noised(rows, Noise(drop=part))))
    masked = sum(row.count(UNK) for row in noised(rows, Noise(mask=part)))
    unfed = int((drop_fed(pad(rows, first=2), part, chance(2000), UNK).data == UNK).sum())
    for found in (dropped, masked, unfed):
        assert abs(found - total * part) < 4 * deviation
    wrong = mistyped(["x" * 20] * 2000, part, chance(2000), "y")
    replaced = sum(line.count("y") for line in wrong)
    assert abs(replaced - total * part / 4) < 4 * (total * part / 4) ** 0.5


def test_the_epoch_and_the_seed_and_the_purpose_change_it() -> None:
    row = [list(range(4, 60))]
    kind = Noise(drop=0.5)
    first = noised(row, kind)
    assert first != noised(row, kind, epoch=1)
    assert first != noised(row, kind, seed=2)
    assert first != noised(row, kind, first=1)
    places = np.arange(4000)
    rows = np.zeros(4000, np.int64)
    one, other = (chance(1).uniform(purpose, rows, places) for purpose in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


def test_random_numbers_are_spread_evenly() -> None:
    rows, places = np.repeat(np.arange(400), 50), np.tile(np.arange(50), 400)
    drawn = chance(400).uniform(3, rows, places)
    assert drawn.min() >= 0 and drawn.max() < 1
    counts, _ = np.histogram(drawn, 20, (0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-squared, 19 degrees of freedom: 1 in 1,000
    table = drawn.reshape(400, 50)
    assert abs(np.corrcoef(table[:-1].ravel(), table[1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(table[:, :-1].ravel(), table[:, 1:].ravel())[0, 1]) < 0.03
    seeds = chance(1000).seeds(5)
    assert len(set(seeds)) == 1000 and min(seeds) >= 0 and max(seeds) < 2**31


@settings(max_examples=50, deadline=None)
@given(rows=sentences, part=st.floats(0.0, 0.99))
def test_the_beginning_and_the_padding_are_fed_as_they_were(rows: list[list[int]], part: float) -> None:
    before, after = pad(rows, first=2), drop_fed(pad(rows, first=2), part, chance(len(rows)), UNK)
    real = before.mask()
    assert (after.data[:, 0] == 2).all()
    assert (after.data[~real] == before.data[~real]).all()
    changed = after.data != before.data
    assert (after.data[changed] == UNK).all()
    assert after.lengths.tolist() == before.lengths.tolist()
    for number, row in enumerate(rows):
        alone = drop_fed(pad([row], first=2), part, chance(1, first=number), UNK)
        assert alone.data[0].tolist() == after.data[number, : len(row) + 1].tolist()


@settings(max_examples=60, deadline=None)
@given(given=lines, part=st.sampled_from([0.0, 0.2, 0.95]), epoch=st.integers(0, 99))
def test_mistakes_leave_words_where_they_are(given: list[str], part: float, epoch: int) -> None:
    after = mistyped(given, part, chance(len(given), epoch=epoch), LETTERS)
    for number, (line, other) in enumerate(zip(given, after, strict=True)):
        assert bool(other.strip()) == bool(line.strip())
        spaces = [c for c in line if c.isspace()]
        assert [c for c in other if c.isspace()] == spaces
        assert set(other) <= set(line) | set(LETTERS)
        assert mistyped([line], part, chance(1, epoch=epoch, first=number), LETTERS) == [other]
        if not part:
            assert line == other


def test_every_mistake_is_made() -> None:
    after = set(mistyped(["abcd"] * 400, 0.2, chance(400), "z"))
    assert {"abc", "aabcd", "bacd", "abcz"} <= after
    assert "abcd" in after
    assert set(mistyped(["aa"] * 200, 0.3, chance(200), "ab")) >= {"ab", "ba"}


def test_noise_on_images_is_as_much_as_is_said_and_an_images_own() -> None:
    data = torch.randint(40, 200, (6, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images = Pixels(data, torch.full((6,), 4))
    kind = Noise(pixel_drop=0.25, pixel_noise=0.05)
    found = speckled(images, kind, chance(6))
    black = (found.data == 0).all(1)
    assert float(black.float().mean()) == pytest.approx(0.25, abs=0.02)
    change = (found.data.float() - data)[~black[:, None].expand_as(data)]
    assert float(change.std()) == pytest.approx(0.05 * 255, rel=0.05)
    assert torch.equal(found.clean, data) and torch.equal(images.clean, data)
    alone = speckled(images.part(torch.tensor([2])), kind, chance(1, first=2))
    assert torch.equal(alone.data[0], found.data[2])
    assert torch.equal(found.part(torch.tensor([4])).clean[0], data[4])
    assert not torch.equal(speckled(images, kind, chance(6, epoch=1)).data, found.data)
