"""Search against enumeration of every output."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from enumeration import BEGIN, END, NO_OUTPUT, every, every_output, log_prob, log_probs
from families import COMBINATIONS, random_ids, small_model
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.data.batch import Padded
from weft.errors import WeftError
from weft.search import choosers
from weft.search.choosers import Beam, Greedy, Live
from weft.search.diverse import Diverse
from weft.search.hypothesis import Hypothesis, Limits
from weft.search.rules import MinLength, Never, NoRepeat, Prefixed, Repetition
from weft.search.run import search
from weft.search.sampling import Draw, Gumbel, Sample

every_model = pytest.mark.parametrize(("encoder", "decoder"), COMBINATIONS)


@pytest.mark.parametrize(("encoder", "decoder"), [("gru", "lstm2"), ("pre", "post"), ("lstm2", "pre")])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_an_unbounded_beam_finds_what_enumeration_finds(encoder: str, decoder: str, penalty: float) -> None:
    model = small_model(encoder, decoder, target=7).double()
    source = random_ids([4], 11)
    words = [4, 5, 6]
    limits = Limits(BEGIN, END, [3], penalty, n_best=5)
    with torch.inference_mode():
        expected = every_output(model, source, words, 3, penalty)[:5]
    found = search(model, source, Beam(7**3), limits, [Never(NO_OUTPUT)])[0]
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


def test_no_length_penalty_is_too_large() -> None:
    model = small_model("gru", "pre")
    for h in search(model, random_ids([5], 11), Beam(3), Limits(BEGIN, END, [20], 1e6, n_best=3))[0]:
        assert h.score == (0.0 if len(h.tokens) > 1 else sum(h.token_scores))


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
    return search(model, random_ids([4], 11), Beam(3), Limits(BEGIN, END, [cap], n_best=3), [rule, Never(NO_OUTPUT)])[0]


def test_minimum_length_holds() -> None:
    assert all(len(h.tokens) >= 5 for h in run_with(MinLength(5, END)))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_no_ngram_comes_twice(length: int) -> None:
    for h in run_with(NoRepeat(length), cap=12):
        grams = [tuple(h.tokens[i : i + length]) for i in range(len(h.tokens) - length + 1)]
        assert len(set(grams)) == len(grams)


def test_where_rules_leave_nothing_to_say_the_output_ends() -> None:
    def nothing_after_two(log_probs: torch.Tensor, said: torch.Tensor, sentences: torch.Tensor) -> torch.Tensor:
        return log_probs.fill_(-torch.inf) if said.size(1) == 2 else log_probs

    hypotheses = run_with(nothing_after_two)
    assert hypotheses and all(len(h.tokens) <= 2 for h in hypotheses)


@pytest.mark.parametrize("seed", range(20))
def test_the_best_does_not_depend_on_how_many_are_asked_for(seed: int) -> None:
    torch.manual_seed(seed)
    model = small_model("gru", "gru", target=6)
    source = random_ids([3, 5], 11)
    rules = [Never(NO_OUTPUT)]
    answers = [search(model, source, Beam(4), Limits(BEGIN, END, [4, 4], n_best=n), rules) for n in (1, 4)]
    for (one, *_), (best, *_) in zip(*answers, strict=True):
        assert (one.tokens, one.finish_reason) == (best.tokens, best.finish_reason)


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_over_few_words_says_nothing_after_the_end(seed: int) -> None:
    torch.manual_seed(seed)
    model = small_model("gru", "gru", target=6)
    limits = Limits(BEGIN, END, [1, 3], n_best=5)
    for hypotheses in search(model, random_ids([2, 4], 11), Beam(5), limits, [Never(NO_OUTPUT)]):
        for h in hypotheses:
            assert END not in h.tokens and BEGIN not in h.tokens
            assert len(h.token_scores) == len(h.tokens) + (h.finish_reason == "end")


def penalised(penalty: float, log_probs: torch.Tensor, said: list[int]) -> torch.Tensor:
    """Keskar et al. 2019, equation of section 4.1, over log-probabilities."""
    weighed = [p * penalty if token in said else p for token, p in enumerate(log_probs.tolist())]
    total = math.log(sum(math.exp(p) for p in weighed))
    return torch.tensor([p - total for p in weighed]).double()


def test_what_was_said_is_less_probable() -> None:
    log_probs = torch.randn(2, 7).double().log_softmax(-1)
    expected = torch.stack([penalised(1.4, log_probs[0], [4, 5]), penalised(1.4, log_probs[1], [6])])
    found = Repetition(1.4)(log_probs.clone(), torch.tensor([[4, 5, 4], [6, 6, 6]]), torch.tensor([0, 1]))
    torch.testing.assert_close(found, expected)


def test_a_repetition_penalty_searches_the_penalised_model() -> None:
    model = small_model("gru", "pre", target=7).double()
    source = random_ids([4], 11)

    def score(tokens: list[int]) -> float:
        rows = log_probs(model, source, tokens)
        said = [*tokens, END]
        return sum(penalised(1.5, row, tokens[:t])[said[t]].item() for t, row in enumerate(rows)) / max(1, len(tokens))

    with torch.inference_mode():
        best = max(every([4, 5, 6], 3), key=score)
    found = search(model, source, Beam(7**3), Limits(BEGIN, END, [3]), [Repetition(1.5), Never(NO_OUTPUT)])[0][0]
    assert found.tokens == best
    assert found.score == pytest.approx(score(best))


@pytest.mark.parametrize("attention", [False, True])
def test_coverage_is_part_of_the_score(attention: bool) -> None:
    model = small_model("pre", "gru", target=7).double()
    source = random_ids([3, 5], 11)
    limits = Limits(BEGIN, END, [3, 3], 0.6, coverage_penalty=0.8, n_best=4, attention=attention)
    found = search(model, source, Beam(7**3), limits, [Never(NO_OUTPUT)])
    for row, length in enumerate(source.lengths.tolist()):
        alone = Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1])

        def score(tokens: list[int], alone: Padded = alone) -> float:
            fixed, state = model.start(alone)
            weights = []
            for token in [BEGIN, *tokens]:
                _, looked, state = model.step(torch.tensor([token]), state, fixed)
                weights.append(looked[0].mean(0))
            attended = torch.stack(weights).sum(0).clamp(max=1.0)
            return log_prob(model, alone, tokens) / max(1, len(tokens)) ** 0.6 + 0.8 * attended.log().sum().item()

        with torch.inference_mode():
            expected = sorted(every([4, 5, 6], 3), key=score, reverse=True)[:4]
            assert [h.tokens for h in found[row]] == expected
            assert [h.score for h in found[row]] == pytest.approx([score(tokens) for tokens in expected])
        assert all((h.attention is not None) == attention for h in found[row])


def test_coverage_needs_attention() -> None:
    class Blind:
        def start(self, source: Padded) -> Any:
            return (), torch.zeros(len(source))

        def step(self, tokens: torch.Tensor, state: Any, fixed: Any) -> Any:
            return torch.zeros(len(tokens), 7).log_softmax(-1), None, state

    with pytest.raises(WeftError, match=r"coverage_penalty goes by attention, of which this model has none"):
        search(Blind(), random_ids([3], 11), Greedy(), Limits(BEGIN, END, [3], coverage_penalty=0.1))


class Open(Limits):
    def best_possible(self, total: float, sentence: int) -> float:
        return math.inf


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("penalties", [(1.0, 0.0, 1.0), (0.0, 0.7, 1.0), (1.3, 2.0, 1.5)])
def test_a_sentence_is_not_closed_before_its_best_is_found(seed: int, penalties: tuple[float, float, float]) -> None:
    torch.manual_seed(seed)
    model = small_model("gru", "gru", target=6)
    source = random_ids([3, 5], 11)
    length, coverage, repetition = penalties
    rules = [Repetition(repetition), Never(NO_OUTPUT)]
    closed, left_open = (
        search(model, source, Beam(6), kind(BEGIN, END, [6, 7], length, coverage), rules) for kind in (Limits, Open)
    )
    assert [[h.tokens for h in found] for found in closed] == [[h.tokens for h in found] for found in left_open]


@settings(max_examples=20, deadline=None)
@given(
    prefixes=st.lists(st.lists(st.integers(4, 8), max_size=4), min_size=3, max_size=3),
    chooser=st.sampled_from(["greedy", "beam", "diverse", "sample", "gumbel"]),
)
def test_an_output_begins_with_its_prefix(prefixes: list[list[int]], chooser: str) -> None:
    model = small_model("gru", "pre")
    source = random_ids([3, 1, 5], 11)
    kinds = {
        "greedy": Greedy(),
        "beam": Beam(3),
        "diverse": Diverse(2, 2, 0.5),
        "sample": Sample(Draw(), 2, 1, [0, 1, 2], 6, source.data.device),
        "gumbel": Gumbel(1.0, 2, 1, [0, 1, 2]),
    }
    cpu = source.data.device
    rules = [Prefixed(prefixes, [Never([*NO_OUTPUT, 5]), NoRepeat(1)], cpu)]
    for row, (found, prefix) in enumerate(
        zip(search(model, source, kinds[chooser], Limits(BEGIN, END, [6] * 3, n_best=2), rules), prefixes, strict=True)
    ):
        length = int(source.lengths[row])
        alone = Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1])
        for h in found:
            assert h.tokens[: len(prefix)] == prefix
            assert 5 not in h.tokens[len(prefix) :]
            assert sum(h.token_scores) == pytest.approx(log_prob(model, alone, h.tokens, h.finish_reason == "end"))


@pytest.mark.parametrize("size", [256, 300, 257])
@pytest.mark.parametrize("width", [1, 3])
def test_the_best_by_groups_are_the_best(size: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(4, width, size).log_softmax(-1)
    scores[:, :, ::7] = -torch.inf
    totals = -torch.rand(4, width)
    chooser, live = Beam(width) if width > 1 else Greedy(), Live(totals, (), torch.arange(4))
    plain = chooser.choose(scores, live, 0)
    monkeypatch.setattr(choosers, "WORTH_GROUPS", 0)
    monkeypatch.setattr(choosers, "GROUP", 16)
    grouped = chooser.choose(scores, live, 0)
    for one, other in zip(plain[:3], grouped[:3], strict=True):
        assert torch.equal(one, other)
