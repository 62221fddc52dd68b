"""From vectors back: vectors between two inputs, vectors drawn from N(0,1), and what a decoder says of any vector.

N vectors, D their width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from weft.data.batch import Padded
from weft.errors import WeftError
from weft.models.base import Memory
from weft.models.mode import answering
from weft.models.seq2seq import Seq2Seq
from weft.search.run import search
from weft.tasks.line import Encoded, Line
from weft.tasks.prediction import Prediction
from weft.tasks.text import Model

BATCH = 64  # vectors


def between(model: Model, one: str, other: str, count: int) -> Tensor:
    """(N,D) on the straight line from one input's vector to the other's, both ends included."""
    ends = torch.from_numpy(model.vectors([one, other])).to(model.device)
    if ends.isnan().any():
        raise WeftError("an empty line has no vector, so there is no way from it or to it")
    shares = torch.linspace(0, 1, count, device=model.device)[:, None]
    return ends[:1] * (1 - shares) + ends[1:] * shares


def prior(model: Model, count: int, seed: int) -> Tensor:
    """(N,D) drawn from N(0,1); WeftError where the model's vectors were not kept near that."""
    if count < 1:
        raise WeftError(f"so many vectors as {count} cannot be drawn; expected 1 or more")
    if model.recipe.model.context.variational is None:
        raise WeftError("model.context.variational is null: only vectors that were kept near N(0,1) are drawn from it")
    drawn = torch.randn(count, model.network.vector_width, generator=torch.Generator().manual_seed(seed))
    return drawn.to(model.device)


def positions(model: Model, line: str) -> int:
    """How long an input is."""
    (source,) = model.reads.encoded([Line(0, line)], "forward")
    return len(source)


def said(model: Model, vectors: Tensor, length: int, **options: Any) -> list[Prediction]:
    """What the decoder says of each vector (N,D), found by the recipe's search settings or these.

    Caps on its length go by that of a source of `length` pieces. WeftError where the decoder sees more than a vector.
    """
    if model.recipe.tags:
        kind = model.recipe.model.decoder.kind
        raise WeftError(f"model.decoder.kind is {kind}, which says nothing of a vector alone")
    if not model.recipe.model.sees_context_only:
        raise WeftError("this model's decoder looks at more than one vector; it needs model.decoder.attention: null")
    strategy = model.strategy(1, options)
    network = FromVectors(model.network)
    found: list[Prediction] = []
    for part in vectors.split(BATCH):
        lines = [Encoded(len(found) + row, ([0] * length,), [], [], []) for row in range(len(part))]
        limits = strategy.limits(lines, attention=False)
        source = Padded(part, torch.full((len(part),), length, device=part.device))
        chooser, rules = strategy.chooser(lines, limits, part.device), strategy.rules(lines, part.device)
        with answering(model.network):
            outcomes = search(network, source, chooser, limits, rules)
        found.extend(model.outputs(hypotheses, [], strategy)[0] for hypotheses in outcomes)
    return found


class FromVectors:
    """A StepModel whose sources are vectors, for decoders that see no more of a source."""

    def __init__(self, network: Seq2Seq) -> None:
        self.network = network

    def start(self, source: Padded) -> tuple[Any, Any]:
        """source.data (N,D)"""
        vectors = source.data
        mask = torch.ones(len(vectors), 1, dtype=torch.bool, device=vectors.device)
        return self.network.start_from(Memory(vectors[:, None], mask, vectors), vectors)

    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        return self.network.step(tokens, state, fixed)
