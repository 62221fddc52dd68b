"""Any number of labels: probabilities of sets, what a search finds of them, and the loss."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from families import random_ids

from weft.data.batch import Batch, Padded, pad
from weft.models.labels import FIRST, NOT, told
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Context, LabelDecoder, Model, WindowEncoder
from weft.search.choosers import Beam, Chooser, Greedy
from weft.search.ensemble import Ensemble
from weft.search.hypothesis import Hypothesis, Limits
from weft.search.run import search
from weft.search.score import score

LABELS = 4
SIZE = FIRST + LABELS
END = 3


def model(seed: int = 1) -> Seq2Seq:
    torch.manual_seed(seed)
    settings = Model(
        width=6,
        encoder=WindowEncoder(widths=[2, 3], channels=4),
        context=Context(of="weighted"),
        decoder=LabelDecoder(dropout=0.0),
    )
    return Seq2Seq(settings, 11, SIZE).double().eval()


@pytest.fixture
def source() -> Padded:
    torch.manual_seed(5)
    return random_ids([5, 2, 7], 11)


def probabilities(network: Seq2Seq, source: Padded) -> torch.Tensor:
    """(B,L), by their definition."""
    with torch.no_grad():
        context = network.encode(source).context
        scores = network.decoder.emit(torch.tanh(network.decoder.line.linear(context)))
        return torch.sigmoid(scores[:, FIRST:])


def found(network: object, source: Padded, chooser: Chooser, n_best: int = 1) -> list[list[Hypothesis]]:
    limits = Limits(begin=2, end=END, max_lengths=[LABELS] * len(source), length_penalty=0.0, n_best=n_best)
    return search(network, source, chooser, limits)


def test_a_set_has_the_product_of_its_labels_probabilities(source: Padded) -> None:
    network, total = model(), torch.zeros(3, dtype=torch.float64)
    each = probabilities(network, source)
    for count in range(LABELS + 1):
        for chosen in itertools.combinations(range(LABELS), count):
            there = torch.tensor([label in chosen for label in range(LABELS)])
            expected = torch.where(there, each, 1 - each).log().sum(1)
            gold = pad([told({FIRST + label for label in chosen}, SIZE)] * 3, last=END)
            scored = torch.tensor([sum(one) for one in score(network, source, gold, 2)], dtype=torch.float64)
            torch.testing.assert_close(scored, expected, atol=1e-10, rtol=0)
            total += scored.exp()
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("chooser", [Greedy(), Beam(3)])
def test_any_search_finds_the_labels_above_a_half(source: Padded, chooser: Chooser) -> None:
    for seed in range(5):
        network = model(seed)
        network.decoder.emit.weight.data *= 8
        wanted = [
            told({FIRST + label for label in range(LABELS) if row[label] > 0.5}, SIZE)
            for row in probabilities(network, source)
        ]
        assert [best[0].tokens for best in found(network, source, chooser)] == wanted


def test_the_n_best_sets_are_the_most_probable_ones(source: Padded) -> None:
    network = model()
    for row, best in zip(probabilities(network, source), found(network, source, Beam(6), n_best=6), strict=True):
        all_sets = itertools.product([True, False], repeat=LABELS)
        scores = sorted(float(torch.where(torch.tensor(one), row, 1 - row).log().sum()) for one in all_sets)
        assert [one.score for one in best] == pytest.approx(scores[: -len(best) - 1 : -1], abs=1e-9)
        assert [len(one.tokens) for one in best] == [LABELS] * 6


def test_steps_are_the_whole_and_ends_are_certain(source: Padded) -> None:
    network = model()
    features, weights = network(source, random_ids([2, 2, 2], SIZE))
    assert weights is not None
    fixed, state = network.start(source)
    for time in range(LABELS + 1):
        said, looked, state = network.step(torch.full((3,), NOT), state, fixed)
        torch.testing.assert_close(said, network.output(features[:, time]))
        torch.testing.assert_close(looked, weights[:, :, time])
        torch.testing.assert_close(looked.sum(-1), torch.ones(3, 1, dtype=torch.float64))
        torch.testing.assert_close(said.exp().sum(-1), torch.ones(3, dtype=torch.float64))
    assert said[:, END].tolist() == [0.0] * 3


def test_the_loss_is_the_binary_cross_entropy_in_any_order(source: Padded) -> None:
    network = model()
    targets = [[FIRST + 2, FIRST], [], [FIRST + 1, FIRST + 3, FIRST + 1]]
    there = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 1]], dtype=torch.float64)
    losses = []
    for turned in (targets, [ids[::-1] for ids in targets]):
        batch = Batch(source, pad(turned, first=2), pad(turned, last=END), rows=torch.arange(3).numpy())
        loss, count = network.loss(batch, smoothing=0.0)
        losses.append(float(loss.detach()))
        assert count == 5 + 3
        smoothed, _ = network.loss(batch, smoothing=0.2)
    each = probabilities(network, source)
    assert losses == [pytest.approx(float(F.binary_cross_entropy(each, there, reduction="sum")))] * 2
    softer = there * 0.8 + 0.1
    assert float(smoothed.detach()) == pytest.approx(float(F.binary_cross_entropy(each, softer, reduction="sum")))


def test_an_ensemble_has_the_mean_of_each_labels_probability(source: Padded) -> None:
    one, other = model(1), model(2)
    mean = (probabilities(one, source) + probabilities(other, source)) / 2
    best = found(Ensemble([one, other]), source, Greedy())
    expected = torch.where(mean > 0.5, mean, 1 - mean).log()
    scores = torch.tensor([each[0].token_scores[:-1] for each in best], dtype=torch.float64)
    torch.testing.assert_close(scores, expected, atol=1e-9, rtol=0)
