"""Search against enumeration of every output."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from families import COMBINATIONS, random_ids, small_model
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.data.batch import Padded
from weft.search.choosers import Beam, Greedy
from weft.search.rules import MinLength, Never, NoRepeat
from weft.search.run import Hypothesis, Limits, search

BEGIN, END = 2, 3
every_model = pytest.mark.parametrize(("encoder", "decoder"), COMBINATIONS)


def log_prob(model: Any, source: Padded, tokens: list[int], ended: bool = True) -> float:
    """Log-probability of an output for a batch of one."""
    fixed, state = model.start(source)
    total, last = 0.0, BEGIN
    for token in [*tokens, *([END] if ended else [])]:
        scores, _, state = model.step(torch.tensor([last]), state, fixed)
        total += scores[0, token].item()
        last = token
    return total


def every_output(
    model: Any, source: Padded, words: list[int], longest: int, penalty: float
) -> list[tuple[float, list[int]]]:
    outputs = [list(o) for n in range(longest + 1) for o in itertools.product(words, repeat=n)]
    return sorted(((log_prob(model, source, o) / max(1, len(o)) ** penalty, o) for o in outputs), key=lambda x: -x[0])


@pytest.mark.parametrize(("encoder", "decoder"), [("gru", "lstm2"), ("pre", "post"), ("lstm2", "pre")])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_an_unbounded_beam_finds_what_enumeration_finds(encoder: str, decoder: str, penalty: float) -> None:
    model = small_model(encoder, decoder, target=7).double()
    source = random_ids([4], 11)
    words = [4, 5, 6]
    limits = Limits(BEGIN, END, [3], penalty, n_best=5)
    with torch.inference_mode():
        expected = every_output(model, source, words, 3, penalty)[:5]
    found = search(model, source, Beam(7**3), limits, [Never([0, 1, BEGIN])])[0]
    assert [h.tokens for h in found] == [tokens for _, tokens in expected]
    assert [h.score for h in found] == pytest.approx([score for score, _ in expected])


@every_model
def test_greedy_is_a_beam_of_one(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder)
    source = random_ids([3, 6, 1], 11)
    limits = Limits(BEGIN, END, [8, 8, 8])
    greedy, beam = (search(model, source, chooser, limits) for chooser in (Greedy(), Beam(1)))
    for (one,), (other,) in zip(greedy, beam, strict=True):
        assert one.tokens == other.tokens
        assert one.token_scores == pytest.approx(other.token_scores)
        assert one.finish_reason == other.finish_reason


@every_model
def test_a_sentence_alone_and_in_a_batch_give_the_same(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder)
    source = random_ids([3, 7, 1, 5], 11)
    caps = [6, 9, 3, 4]
    together = search(model, source, Beam(3), Limits(BEGIN, END, caps, n_best=3, attention=True))
    for row, length in enumerate(source.lengths.tolist()):
        one = Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1])
        alone = search(model, one, Beam(3), Limits(BEGIN, END, [caps[row]], n_best=3, attention=True))[0]
        assert [h.tokens for h in alone] == [h.tokens for h in together[row]]
        for mine, theirs in zip(alone, together[row], strict=True):
            assert mine.token_scores == pytest.approx(theirs.token_scores)
            torch.testing.assert_close(mine.attention, theirs.attention[:, :length])


def test_scores_add_up() -> None:
    model = small_model("gru", "pre")
    source = random_ids([5], 11)
    for h in search(model, source, Beam(4), Limits(BEGIN, END, [6], 0.7, n_best=4))[0]:
        assert h.score == pytest.approx(sum(h.token_scores) / max(1, len(h.tokens)) ** 0.7)
        assert sum(h.token_scores) == pytest.approx(log_prob(model, source, h.tokens, h.finish_reason == "end"))
        assert len(h.token_scores) == len(h.tokens) + (h.finish_reason == "end")


def test_the_cap_is_said() -> None:
    model = small_model("gru", "gru")
    with torch.no_grad():
        model.output.projection.bias[END] = -100
    source = random_ids([5, 2], 11)
    for (one,), cap in zip(search(model, source, Beam(2), Limits(BEGIN, END, [4, 2])), [4, 2], strict=True):
        assert one.finish_reason == "length"
        assert len(one.tokens) == len(one.token_scores) == cap


def test_attention_has_a_row_for_each_token_and_sums_to_one() -> None:
    model = small_model("pre", "gru")
    (one,) = search(model, random_ids([5], 11), Greedy(), Limits(BEGIN, END, [6], attention=True))[0]
    assert one.attention.shape == (len(one.token_scores), 5)
    torch.testing.assert_close(one.attention.sum(1), torch.ones(len(one.token_scores)).double())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 5), n_best=st.integers(1, 5), cap=st.integers(0, 7))
def test_whatever_the_model_there_is_an_answer_in_order(seed: int, width: int, n_best: int, cap: int) -> None:
    torch.manual_seed(seed)
    model = small_model("gru", "gru", target=6)
    found = search(
        model, random_ids([2, 4], 11), Beam(max(width, n_best)), Limits(BEGIN, END, [cap, cap + 1], n_best=n_best)
    )
    for hypotheses in found:
        assert 1 <= len(hypotheses) <= n_best
        order = [(h.finish_reason == "length", -h.score) for h in hypotheses]
        assert order == sorted(order)
        assert len({tuple(h.tokens) for h in hypotheses}) == len(hypotheses)
        assert all(END not in h.tokens and len(h.tokens) <= cap + 1 for h in hypotheses)


def run_with(rule: Any, cap: int = 8) -> list[Hypothesis]:
    model = small_model("gru", "gru", target=6)
    return search(
        model, random_ids([4], 11), Beam(3), Limits(BEGIN, END, [cap], n_best=3), [rule, Never([0, 1, BEGIN])]
    )[0]


def test_minimum_length_holds() -> None:
    assert all(len(h.tokens) >= 5 for h in run_with(MinLength(5, END)))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_no_ngram_comes_twice(length: int) -> None:
    for h in run_with(NoRepeat(length), cap=12):
        grams = [tuple(h.tokens[i : i + length]) for i in range(len(h.tokens) - length + 1)]
        assert len(set(grams)) == len(grams)


def test_where_rules_leave_nothing_to_say_the_output_ends() -> None:
    def nothing_after_two(log_probs: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
        return log_probs.fill_(-torch.inf) if prefix.size(1) == 2 else log_probs

    hypotheses = run_with(nothing_after_two)
    assert hypotheses and all(len(h.tokens) <= 2 for h in hypotheses)


@pytest.mark.parametrize("seed", range(20))
def test_the_best_does_not_depend_on_how_many_are_asked_for(seed: int) -> None:
    torch.manual_seed(seed)
    model = small_model("gru", "gru", target=6)
    source = random_ids([3, 5], 11)
    rules = [Never([0, 1, BEGIN])]
    answers = [search(model, source, Beam(4), Limits(BEGIN, END, [4, 4], n_best=n), rules) for n in (1, 4)]
    for (one, *_), (best, *_) in zip(*answers, strict=True):
        assert (one.tokens, one.finish_reason) == (best.tokens, best.finish_reason)


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_over_few_words_says_nothing_after_the_end(seed: int) -> None:
    torch.manual_seed(seed)
    model = small_model("gru", "gru", target=6)
    limits = Limits(BEGIN, END, [1, 3], n_best=5)
    for hypotheses in search(model, random_ids([2, 4], 11), Beam(5), limits, [Never([0, 1, BEGIN])]):
        for h in hypotheses:
            assert END not in h.tokens and BEGIN not in h.tokens
            assert len(h.token_scores) == len(h.tokens) + (h.finish_reason == "end")
