"""Several models as one, a language model beside a model, and the exact score of what is given."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from enumeration import BEGIN, END, NO_OUTPUT, every, every_output, log_prob, log_probs
from families import random_ids, small_model

from weft.data.batch import Padded, pad
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Context, Model, NoEncoder, RecurrentDecoder, TransformerDecoder
from weft.search.choosers import Beam, Greedy
from weft.search.ensemble import Ensemble, Fused, Sources
from weft.search.hypothesis import Limits
from weft.search.rules import MinLength, Never
from weft.search.run import search
from weft.search.score import score


def language_model(decoder: RecurrentDecoder | TransformerDecoder, target: int = 7) -> Seq2Seq:
    settings = Model(width=12, encoder=NoEncoder(), context=Context(given="none"), decoder=decoder)
    return Seq2Seq(settings, 4, target).double().eval()


SPEAKERS = [
    RecurrentDecoder(width=10, attention=None, dropout=0.0),
    TransformerDecoder(layers=1, heads=2, feed_forward=24, attention=None, dropout=0.0),
]


def outputs(model: Any, source: Padded, chooser: Beam | Greedy, caps: list[int]) -> list[list[Any]]:
    found = search(model, source, chooser, Limits(BEGIN, END, caps, n_best=chooser.width, attention=True))
    return [[(h.tokens, h.finish_reason, h.attention is None, round(h.score, 9)) for h in each] for each in found]


@pytest.mark.parametrize(("encoder", "decoder"), [("gru", "lstm2"), ("pre", "post")])
def test_an_ensemble_of_one_is_the_model(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder)
    source = random_ids([3, 6, 1], 11)
    for chooser in (Greedy(), Beam(3)):
        assert outputs(Ensemble([model]), source, chooser, [6, 7, 8]) == outputs(model, source, chooser, [6, 7, 8])


def test_an_ensemble_averages_probabilities() -> None:
    models = [small_model("gru", "lstm2", target=7), small_model("pre", "post", target=7)]
    source = random_ids([4], 11)

    def mean_score(tokens: list[int]) -> float:
        probs = torch.stack([log_probs(model, source, tokens).exp() for model in models]).mean(0)
        return sum(math.log(probs[t, token].item()) for t, token in enumerate([*tokens, END])) / max(1, len(tokens))

    with torch.inference_mode():
        expected = sorted(every([4, 5, 6], 3), key=mean_score, reverse=True)[:4]
        scores = [mean_score(tokens) for tokens in expected]
    (found,) = search(
        Ensemble(models), source, Beam(7**3), Limits(BEGIN, END, [3], n_best=4, attention=True), [Never(NO_OUTPUT)]
    )
    assert [h.tokens for h in found] == expected
    assert [h.score for h in found] == pytest.approx(scores)
    for h in found:
        torch.testing.assert_close(h.attention.sum(1), torch.ones(len(h.token_scores)).double())


def test_members_may_read_other_pieces() -> None:
    models = [small_model("gru", "gru", target=7), small_model("pre", "pre", source=20, target=7)]
    first, second = random_ids([4, 2, 6], 11), random_ids([3, 5, 1], 20)
    both = Sources(first.data, first.lengths, (first, second))
    chooser, caps = Beam(3), [5, 6, 7]
    together = outputs(Ensemble(models, same_source=False), both, chooser, caps)
    for row in range(3):
        one, other = (
            Padded(x.data[row : row + 1, : x.lengths[row]], x.lengths[row : row + 1]) for x in (first, second)
        )
        alone = Sources(one.data, one.lengths, (one, other))
        assert outputs(Ensemble(models, same_source=False), alone, chooser, [caps[row]]) == [together[row]]
    assert all(no_attention for each in together for _, _, no_attention, _ in each)


@pytest.mark.parametrize("decoder", SPEAKERS, ids=["rnn", "transformer"])
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_shallow_fusion_adds_the_language_models_score(
    decoder: RecurrentDecoder | TransformerDecoder, weight: float
) -> None:
    model, beside = small_model("gru", "pre", target=7), language_model(decoder)
    source = random_ids([4], 11)
    with torch.inference_mode():
        of_the_model = {tuple(tokens): score for score, tokens in every_output(model, source, [4, 5, 6], 3, 0.0)}
        fused = {
            tokens: (total + weight * log_prob(beside, source, tokens)) / max(1, len(tokens))
            for tokens, total in of_the_model.items()
        }
    expected = sorted(fused, key=lambda tokens: -fused[tokens])[:4]
    (found,) = search(
        Fused(model, beside, weight), source, Beam(7**3), Limits(BEGIN, END, [3], n_best=4), [Never(NO_OUTPUT)]
    )
    assert [tuple(h.tokens) for h in found] == expected
    assert [h.score for h in found] == pytest.approx([fused[tokens] for tokens in expected])


def test_fusion_with_an_ensemble_does_not_depend_on_the_batch() -> None:
    model = Fused(
        Ensemble([small_model("gru", "gru"), small_model("pre", "post")]), language_model(SPEAKERS[1], 9), 0.3
    )
    source = random_ids([3, 6, 1], 11)
    together = outputs(model, source, Beam(3), [5, 6, 7])
    for row, (length, cap) in enumerate(zip(source.lengths.tolist(), [5, 6, 7], strict=True)):
        one = Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1])
        assert outputs(model, one, Beam(3), [cap]) == [together[row]]


@pytest.mark.parametrize(("encoder", "decoder"), [("gru", "lstm2"), ("pre", "post"), ("conv", "conv")])
def test_the_score_of_an_output_is_what_the_search_gave_it(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder)
    with torch.no_grad():
        model.output.projection.bias[END] = 3.0
    source = random_ids([3, 6, 1], 11)
    found = [h[0] for h in search(model, source, Beam(4), Limits(BEGIN, END, [9, 9, 9]), [MinLength(2, END)])]
    assert all(h.finish_reason == "end" for h in found)
    scores = score(model, source, pad([h.tokens for h in found], last=END), BEGIN)
    for h, given in zip(found, scores, strict=True):
        assert given == pytest.approx(h.token_scores)
