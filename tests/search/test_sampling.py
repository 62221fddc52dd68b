"""Samples against exact probabilities."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from enumeration import BEGIN, END, NO_OUTPUT, every, log_prob, log_probs
from families import random_ids, small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from weft.data.batch import Padded
from weft.search.hypothesis import Limits
from weft.search.rules import MinLength, Never, Prefixed
from weft.search.run import search
from weft.search.sampling import Draw, Gumbel, Sample
from weft.search.truncation import min_p, top_k, top_p

CPU = torch.device("cpu")
WORDS, CAP = [4, 5], 3


def exact(model: Any, source: Padded, temperature: float = 1.0) -> dict[tuple[int, ...], float]:
    """The probability of each output of at most CAP words; one of CAP words may be cut off or not."""
    found = {}
    for tokens in every(WORDS, CAP):
        rows = log_probs(model, source, tokens) / temperature
        rows[:, NO_OUTPUT] = -torch.inf
        rows = rows.log_softmax(-1)
        said = tokens if len(tokens) == CAP else [*tokens, END]
        found[tuple(tokens)] = math.exp(sum(rows[t, token].item() for t, token in enumerate(said)))
    assert sum(found.values()) == pytest.approx(1)
    return found


def copies(source: Padded, count: int) -> Padded:
    return Padded(source.data.expand(count, -1).contiguous(), source.lengths.expand(count).contiguous())


def chi_square(counts: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> float:
    total = sum(counts.values())
    return sum((counts[key] - total * p) ** 2 / (total * p) for key, p in expected.items())


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_are_as_frequent_as_they_are_probable(temperature: float) -> None:
    model = small_model("gru", "pre", target=6)
    source = random_ids([4], 11)
    with torch.inference_mode():
        expected = exact(model, source, temperature)
    chooser = Sample(Draw(temperature), 4000, 7, [0], CAP, CPU)
    (found,) = search(model, source, chooser, Limits(BEGIN, END, [CAP], n_best=4000), [Never(NO_OUTPUT)])
    assert len(found) == 4000
    counts = Counter(tuple(h.tokens) for h in found)
    assert counts.keys() <= expected.keys()
    assert chi_square(counts, expected) < 36.1  # 14 degrees of freedom, p = 0.001
    for h in found[:20]:
        assert sum(h.token_scores) == pytest.approx(log_prob(model, source, h.tokens, h.finish_reason == "end"))


def test_a_sample_that_is_cut_off_is_a_sample() -> None:
    model = small_model("gru", "gru", target=6)
    source = random_ids([4], 11)
    (found,) = search(
        model,
        source,
        Sample(Draw(), 500, 1, [0], CAP, CPU),
        Limits(BEGIN, END, [CAP], n_best=500),
        [Never(NO_OUTPUT), MinLength(CAP, END)],
    )
    reasons = Counter(h.finish_reason for h in found)
    assert set(reasons) == {"end", "length"}
    assert [h.finish_reason for h in found] != sorted(h.finish_reason for h in found)  # in the order they were drawn


@pytest.mark.parametrize("kind", ["sample", "gumbel"])
def test_a_line_has_the_same_samples_in_any_batch(kind: str) -> None:
    model = small_model("pre", "gru")
    source = random_ids([3, 7, 1, 5], 11)
    limits = Limits(BEGIN, END, [6, 9, 3, 4], n_best=3)

    def chooser(lines: list[int], longest: int) -> Sample | Gumbel:
        return Gumbel(1.0, 3, 5, lines) if kind == "gumbel" else Sample(Draw(0.9), 3, 5, lines, longest, CPU)

    together = search(model, source, chooser([10, 11, 12, 13], 9), limits)
    for row, (length, cap) in enumerate(zip(source.lengths.tolist(), limits.max_lengths, strict=True)):
        one = Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1])
        alone = search(model, one, chooser([10 + row], cap), Limits(BEGIN, END, [cap], n_best=3))[0]
        assert [h.tokens for h in alone] == [h.tokens for h in together[row]]
    again = search(model, source, chooser([0, 1, 2, 3], 9), limits)
    assert [[h.tokens for h in found] for found in again] != [[h.tokens for h in found] for found in together]


def test_the_first_sample_does_not_depend_on_how_many_are_drawn() -> None:
    model = small_model("gru", "gru")
    source = random_ids([3, 5], 11)
    few, many = (
        search(model, source, Sample(Draw(), n, 1, [0, 1], 6, CPU), Limits(BEGIN, END, [6, 6], n_best=n))
        for n in (1, 5)
    )
    assert [found[0].tokens for found in few] == [found[0].tokens for found in many]


def test_of_the_most_probable_token_alone_samples_are_greedy() -> None:
    model = small_model("gru", "gru")
    source = random_ids([3, 5], 11)
    for draw in (Draw(top_k=1), Draw(top_p=1e-9), Draw(min_p=0.999999), Draw(temperature=1e-4)):
        for seed in range(3):
            found = search(model, source, Sample(draw, 1, seed, [0, 1], 6, CPU), Limits(BEGIN, END, [6, 6]))
            for row, (h,) in enumerate(found):
                alone = Padded(source.data[row : row + 1, : source.lengths[row]], source.lengths[row : row + 1])
                rows = log_probs(model, alone, h.tokens)
                assert rows.argmax(-1).tolist()[: len(h.token_scores)] == [*h.tokens, END][: len(h.token_scores)]


def in_a_sample_of_two(probs: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], float]:
    """The probability of each to be among two drawn without replacement."""
    return {one: p + sum(q * p / (1 - q) for other, q in probs.items() if other != one) for one, p in probs.items()}


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_a_stochastic_beam_draws_without_replacement(temperature: float) -> None:
    model = small_model("gru", "gru", target=6)
    source = random_ids([4], 11)
    with torch.inference_mode():
        probs = exact(model, source, temperature)
    draws = 3000
    found = search(
        model,
        copies(source, draws),
        Gumbel(temperature, 2, 3, list(range(draws))),
        Limits(BEGIN, END, [CAP] * draws, n_best=2),
        [Never(NO_OUTPUT)],
    )
    assert all(len(two) == 2 and two[0].tokens != two[1].tokens for two in found)
    assert chi_square(Counter(tuple(first.tokens) for first, _ in found), probs) < 36.1
    counts = Counter(tuple(h.tokens) for two in found for h in two)
    for tokens, p in in_a_sample_of_two(probs).items():
        assert counts[tokens] / draws == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / draws))


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 20), seed=st.integers(0, 1000), cap=st.integers(0, 3))
def test_a_stochastic_beam_has_no_output_twice(width: int, seed: int, cap: int) -> None:
    model = small_model("gru", "gru", target=6)
    found = search(
        model,
        random_ids([2, 4], 11),
        Gumbel(1.0, width, seed, [0, 1]),
        Limits(BEGIN, END, [cap, cap], n_best=width),
        [Never(NO_OUTPUT)],
    )
    for outputs in found:
        different = {tuple(h.tokens) for h in outputs}
        assert len(different) == len(outputs) == min(width, 2 ** (cap + 1) - 1)


def test_a_wider_stochastic_beam_begins_with_the_narrower_one() -> None:
    model = small_model("gru", "gru")
    source = random_ids([3, 5], 11)
    narrow, wide = (
        search(model, source, Gumbel(1.0, width, 1, [0, 1]), Limits(BEGIN, END, [6, 6], n_best=width))
        for width in (2, 6)
    )
    for few, many in zip(narrow, wide, strict=True):
        assert [h.tokens for h in few] == [h.tokens for h in many][:2]


def test_what_is_forced_is_not_drawn() -> None:
    model = small_model("gru", "gru")
    rules = [Prefixed([[4, 5], []], [Never(NO_OUTPUT)], CPU)]
    found = search(
        model, random_ids([3, 5], 11), Gumbel(1.0, 3, 1, [0, 1]), Limits(BEGIN, END, [6, 6], n_best=3), rules
    )
    assert all(h.tokens[:2] == [4, 5] for h in found[0])
    assert len({tuple(h.tokens) for h in found[0]}) == 3


distributions = st.lists(st.floats(-20, 0), min_size=1, max_size=12).map(
    lambda values: torch.tensor(values).double().log_softmax(-1)
)


def sums_to_one(kept: Tensor, given: Tensor) -> None:
    """What is left is as probable among itself as it was."""
    left = kept.isfinite()
    torch.testing.assert_close(kept.exp().sum(), torch.tensor(1.0).double())
    torch.testing.assert_close(kept[left], given[left].log_softmax(-1))


@settings(max_examples=60, deadline=None)
@given(given_=distributions, count=st.integers(1, 15))
def test_top_k_keeps_the_most_probable(given_: Tensor, count: int) -> None:
    kept = top_k(given_, count)
    left = kept.isfinite()
    assert left.sum() == min(count, len(given_))
    assert left.all() or given_[left].min() >= given_[~left].max()
    sums_to_one(kept, given_)


@settings(max_examples=60, deadline=None)
@given(given_=distributions, part=st.floats(0.01, 0.999))
def test_top_p_keeps_the_fewest_that_are_enough(given_: Tensor, part: float) -> None:
    kept = top_p(given_, part)
    left = kept.isfinite()
    probs = given_.exp()
    assert probs[left].sum() >= part - 1e-9
    assert probs[left].sum() - probs[left].min() < part + 1e-9
    assert left.all() or given_[left].min() >= given_[~left].max()
    sums_to_one(kept, given_)


@settings(max_examples=60, deadline=None)
@given(given_=distributions, part=st.floats(0.001, 0.999))
def test_min_p_goes_by_the_most_probable(given_: Tensor, part: float) -> None:
    kept = min_p(given_, part)
    probs = given_.exp()
    bound = part * probs.max()
    sure = (probs - bound).abs() > 1e-12
    assert (kept.isfinite() == (probs >= bound))[sure].all()
    sums_to_one(kept, given_)
