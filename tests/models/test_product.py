"""Every encoder with every decoder, attention, context and position: the contract, over the generated product.

All of it takes minutes (`make product`); by default each two choices of any two axes meet at least once.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from families import random_ids

from weft.data.batch import Padded
from weft.models.base import reorder
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Model
from weft.recipe.parts import SCORES

WIDTH = 12
RNN: dict[str, Any] = {"kind": "rnn", "dropout": 0.0}
STACK: dict[str, Any] = {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 16, "dropout": 0.0}
CONV: dict[str, Any] = {"kind": "conv", "layers": 2, "width": 8, "dropout": 0.0}
POSITIONS = ("none", "sinusoidal", "learned", "rotary", "relative")
PRE = STACK | {"norm": "pre", "activation": "geglu", "key_value_heads": 1}
POST = STACK | {"norm": "post", "norm_kind": "rms", "activation": "swish"}

ENCODERS = [
    RNN | {"cell": "elman", "width": WIDTH, "bidirectional": False, "reversed": True},
    RNN | {"cell": "gru", "width": WIDTH // 2, "variational": True},
    RNN | {"cell": "lstm", "width": [4, WIDTH // 2], "layers": 2, "residual": True},
    *(CONV | {"position": position} for position in POSITIONS[:3]),
    *(stack | {"position": position} for stack in (PRE, POST) for position in POSITIONS),
    {"kind": "windows", "widths": [1, 2, 5], "channels": 4},
]
DECODERS = [
    RNN | {"cell": "gru", "width": WIDTH},
    RNN | {"cell": "lstm", "width": WIDTH, "layers": 2, "residual": True, "query": "current"},
    RNN | {"cell": "elman", "width": WIDTH, "query": "current", "readout": "tanh", "input_feeding": True},
    RNN | {"cell": "gru", "width": [5, WIDTH], "layers": 2, "readout": "tanh", "variational": True},
    *(CONV | {"kernel": 2, "position": position} for position in POSITIONS[:3]),
    *(stack | {"position": position} for stack in (PRE, POST) for position in POSITIONS),
    STACK | {"past": "ssru"},
]
ATTENTIONS = [None, *itertools.product(SCORES, ("global", "local_m", "local_p"))]
GIVEN = ["none", "first", "every", "both"]
AXES: list[list[Any]] = [ENCODERS, DECODERS, ATTENTIONS, GIVEN]
Choice = tuple[int, ...]


def pairwise(axes: Sequence[Sequence[Any]]) -> Iterator[Choice]:
    """Choices in which every two values of every two axes meet, by a seeded greedy search."""
    draw = random.Random(1)
    sizes = [range(len(axis)) for axis in axes]
    pairs = list(itertools.combinations(range(len(axes)), 2))
    left = {(one, a, other, b) for one, other in pairs for a in sizes[one] for b in sizes[other]}

    def met(choice: Choice) -> set[tuple[int, int, int, int]]:
        return {(one, choice[one], other, choice[other]) for one, other in pairs} & left

    while left:
        one, a, other, b = min(left)
        tried = []
        for _ in range(20):
            choice = [draw.choice(size) for size in sizes]
            choice[one], choice[other] = a, b
            tried.append(tuple(choice))
        best = max(tried, key=lambda choice: len(met(choice)))
        left -= met(best)
        yield best


def whole(axes: Sequence[Sequence[Any]]) -> Iterator[Choice]:
    yield from itertools.product(*(range(len(axis)) for axis in axes))


CHOICES = sorted((whole if os.environ.get("WEFT_WHOLE_PRODUCT") else pairwise)(AXES))
BLOCK = 40  # combinations a test, for a test each would cost more than the combination


def settings(choice: Choice) -> Model | None:
    """The model of a choice; what has no axis of its own goes round. None where it cannot be."""
    encoder, decoder, attention, given = (axis[place] for axis, place in zip(AXES, choice, strict=True))
    turn = sum(choice)
    if attention is None and given == "none":
        return None
    looks = None if attention is None else {"kind": attention[0], "window": attention[1], "heads": 3, "reach": 2}
    if looks and decoder["kind"] == "rnn" and looks["kind"] in ("additive", "concat"):
        looks["coverage"] = turn % 2 == 0
    if looks is None:
        decoder = decoder | {"input_feeding": False} if "input_feeding" in decoder else decoder
    return Model.model_validate(
        {
            "width": WIDTH,
            "embedding": {"share": "all", "scale": ("up", "none", "down")[turn % 3]},
            "encoder": encoder,
            "context": {
                "of": ("last", "mean", "max", "weighted")[turn % 4],
                "transform": ("tanh", "linear")[turn % 2],
                "given": given,
            },
            "decoder": decoder | {"attention": looks},
            "copy_source": looks is not None and turn % 3 == 0,
        }
    )


@pytest.mark.parametrize("start", range(0, len(CHOICES), BLOCK))
@torch.no_grad()
def test_the_contract_holds(start: int) -> None:
    for choice in CHOICES[start : start + BLOCK]:
        made = settings(choice)
        if made is not None:
            torch.manual_seed(sum(choice))
            check(Seq2Seq(made, 9, 9).double().eval(), str(made))


def check(model: Seq2Seq, name: str) -> None:
    source, fed = random_ids([1, 6, 3], 9), random_ids([4, 4, 4], 9)
    together = all_steps(model, source, fed)
    fixed, state = model.start(source)
    for time in range(4):
        said, _, state = model.step(fed.data[:, time], state, fixed)
        assert close(said, together[:, time]), f"step {time} is not forward: {name}"
    for row, length in enumerate([1, 6, 3]):
        one = Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1])
        alone = all_steps(model, one, Padded(fed.data[row : row + 1], fed.lengths[row : row + 1]))
        assert close(alone[0], together[row]), f"padding changes row {row}: {name}"
    fixed, state = model.start(source)
    state = reorder(state, torch.tensor([0, 0, 1, 1, 2, 2]))
    _, _, state = model.step(torch.tensor([4, 5, 4, 5, 4, 5]), state, fixed)
    after, weights, _ = model.step(torch.full((6,), 6), reorder(state, torch.tensor([1, 0, 3, 2, 5, 4])), fixed)
    for kept, first in ((0, 5), (1, 4)):
        fixed_one, state_one = model.start(source)
        _, _, state_one = model.step(torch.full((3,), first), state_one, fixed_one)
        alone, _, _ = model.step(torch.full((3,), 6), state_one, fixed_one)
        assert close(alone, after[kept::2]), f"hypotheses touch each other: {name}"
    assert (weights is None) == ("attention=None" in name), name


def all_steps(model: Seq2Seq, source: Padded, fed: Padded) -> torch.Tensor:
    """log-probabilities (B,T,V)"""
    features, weights = model(source, fed)
    rows = features.flatten(0, 1)
    if not model.output.needs_weights:
        return model.output(rows).view(*features.shape[:2], -1)
    sources = source.data[:, None].expand(-1, features.size(1), -1).flatten(0, 1)
    return model.output(rows, weights.transpose(1, 2).flatten(0, 1), sources).view(*features.shape[:2], -1)


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-10, rtol=0)
