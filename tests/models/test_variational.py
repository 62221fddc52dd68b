"""A variational vector under every decoder that sees a vector alone, and under the one of images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from families import random_ids

from weft.data.batch import Batch, Padded, Pixels
from weft.models.autoencoder import network
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Model

WIDTH, PIECES = 12, 11
DECODERS: dict[str, dict[str, Any]] = {
    "rnn": {"kind": "rnn", "width": WIDTH, "attention": None, "dropout": 0.0},
    "conv": {"kind": "conv", "layers": 2, "width": 8, "attention": None, "dropout": 0.0},
    "transformer": {
        "kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 16, "attention": None, "dropout": 0.0,
    },
    "pixels": {"kind": "pixels", "vector": WIDTH, "width": 8, "loss": "entropy"},
}  # fmt: skip
IMAGE = {"kind": "image", "height": 4, "width": 6, "colour": False, "channels": [4], "pool": [[2, 2]], "dropout": 0.0}


def model(kind: str, **variational: Any) -> Seq2Seq:
    """In float64, dropout off; without settings of a variational vector, the plain autoencoder."""
    torch.manual_seed(1)
    settings: dict[str, Any] = {
        "width": WIDTH,
        "encoder": {"kind": "rnn", "width": WIDTH // 2, "dropout": 0.0},
        "context": {"given": "both", "variational": variational or None},
        "decoder": DECODERS[kind],
    }
    if kind == "pixels":
        settings |= {"input": IMAGE, "encoder": {"kind": "identity"}}
    return network(Model.model_validate(settings), PIECES, PIECES).double().eval()


def batch(kind: str) -> Batch:
    torch.manual_seed(2)
    lengths = [5, 3, 4, 2]
    source, fed, gold = (random_ids(lengths, PIECES) for _ in range(3))
    if kind == "pixels":
        source = Pixels(torch.randint(0, 256, (4, 1, 4, 6), dtype=torch.uint8), torch.full((4,), 6))
    return Batch(source, fed, gold, np.arange(4))


@torch.no_grad()
def like(plain: Seq2Seq, variational: Seq2Seq, log_variance: float) -> None:
    """Give the one the weights of the other: its mean is the plain vector, its variance the same everywhere."""
    gaussian: Any = variational.gaussian if hasattr(variational, "gaussian") else variational.squeeze
    for name, parameter in variational.named_parameters():
        if parameter is not gaussian.moments.weight and parameter is not gaussian.moments.bias:
            parameter.copy_(plain.get_parameter(name))
    squeeze: Any = getattr(plain, "squeeze", None)
    weight, bias = (torch.eye(WIDTH), torch.zeros(WIDTH)) if squeeze is None else (squeeze.weight, squeeze.bias)
    gaussian.moments.weight.zero_()[:WIDTH] = weight
    gaussian.moments.bias.fill_(log_variance)[:WIDTH] = bias


@torch.no_grad()
@pytest.mark.parametrize("kind", DECODERS)
def test_without_weight_it_is_the_plain_autoencoder(kind: str) -> None:
    plain, variational, given = model(kind), model(kind, weight=0.0), batch(kind)
    like(plain, variational, log_variance=0.0)
    expected, answered = plain.encode(given.source).context, variational.encode(given.source).context
    torch.testing.assert_close(answered, expected)  # what is answered comes from the mean
    if kind != "pixels":
        torch.testing.assert_close(variational(given.source, given.fed)[0], plain(given.source, given.fed)[0])
    like(plain, variational, log_variance=-80.0)  # and what is drawn from so narrow a Gaussian is the mean
    variational.train()
    per = 24 if kind == "pixels" else 1  # the variational loss is of all values of an image, the plain one their mean
    losses = (made.loss(given, 0.0)[0].float() for made in (variational, plain))
    torch.testing.assert_close(next(losses), per * next(losses))


@torch.no_grad()
@pytest.mark.parametrize("kind", DECODERS)
def test_the_loss_is_reconstruction_and_weighted_divergence(kind: str) -> None:
    given, losses = batch(kind), []
    for weight in (0.0, 0.5):
        made = model(kind, weight=weight)
        torch.manual_seed(3)
        total, count = made.loss(given, 0.0)
        losses.append(total)
    nats = made.encode(given.source).divergence
    assert nats is not None and nats.shape == (4,) and (nats > 0).all()
    times = given.gold.lengths if kind == "pixels" else 1
    torch.testing.assert_close(losses[1] - losses[0], 0.5 * (times * nats).sum())
    assert count == given.gold.lengths.sum()


@torch.no_grad()
@pytest.mark.parametrize("kind", sorted(DECODERS.keys() - {"pixels"}))
def test_steps_from_the_mean_are_the_whole(kind: str) -> None:
    made, given = model(kind, width=5), batch(kind)
    assert made.vector_width == 5
    features, _ = made(given.source, given.fed)
    fixed, state = made.start(given.source)
    for time in range(2):
        log_probs, _, state = made.step(given.fed.data[:, time], state, fixed)
        torch.testing.assert_close(log_probs, made.output(features[:, time]))
    alone = made.encode(Padded(given.source.data[1:2, :3], torch.tensor([3])))
    torch.testing.assert_close(alone.context[0], made.encode(given.source).context[1])


def test_each_draw_is_another_and_its_gradient_reaches_the_encoder() -> None:
    made, given = model("rnn", width=5).train(), batch("rnn")
    one, other = (made.encode(given.source, draw=True).context for _ in range(2))
    assert not torch.allclose(one, other)
    made.loss(given, 0.0)[0].backward()
    assert made.gaussian is not None and made.gaussian.moments.weight.grad.abs().sum(1).gt(0).all()
