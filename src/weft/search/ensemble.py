"""Several models that answer as one, and a language model beside a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weft.data.batch import Padded
from weft.models.base import StepModel


@dataclass(frozen=True)
class Sources(Padded):
    """The same sentences as each member of an ensemble writes them; data and lengths are those of the first."""

    each: tuple[Padded, ...] = ()

    @property
    def positions(self) -> int:
        return self.each[0].positions


class Ensemble:
    """The mean of the members' probabilities, which are of any architecture and share a target vocabulary.

    Its state is a tuple of theirs. Its attention is the mean of theirs, over heads and members, where all of them
    attend, and to the same pieces of the source; otherwise it has none.
    """

    def __init__(self, models: Sequence[StepModel], same_source: bool = True) -> None:
        self.models = models
        self.same_source = same_source

    def start(self, source: Padded) -> tuple[Any, Any]:
        """Fixed and State, B rows each, for `Sources`, or for one source that all members read."""
        sources = source.each if isinstance(source, Sources) else (source,) * len(self.models)
        begun = [model.start(one) for model, one in zip(self.models, sources, strict=True)]
        return tuple(fixed for fixed, _ in begun), tuple(state for _, state in begun)

    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        log_probs, weights, states = zip(
            *(model.step(tokens, *parts) for model, *parts in zip(self.models, state, fixed, strict=True)), strict=True
        )
        mean = torch.stack(log_probs).logsumexp(0) - math.log(len(log_probs))
        return mean, self.mean_weights(weights), states

    def mean_weights(self, weights: Sequence[Tensor | None]) -> Tensor | None:
        """(N,1,S) of each member's (N,H,S)."""
        known = [one.mean(1, keepdim=True) for one in weights if one is not None]
        return torch.stack(known).mean(0) if self.same_source and len(known) == len(weights) else None


class Fused:
    """Shallow fusion: log p + weight * log p of a language model (Gulcehre et al. 2015, equation 9)."""

    def __init__(self, model: StepModel, language_model: StepModel, weight: float) -> None:
        self.model = model
        self.language_model = language_model
        self.weight = weight

    def start(self, source: Padded) -> tuple[Any, Any]:
        (fixed, state), (fixed_beside, state_beside) = self.model.start(source), self.language_model.start(source)
        return (fixed, fixed_beside), (state, state_beside)

    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        log_probs, weights, after = self.model.step(tokens, state[0], fixed[0])
        beside, _, after_beside = self.language_model.step(tokens, state[1], fixed[1])
        return log_probs + self.weight * beside, weights, (after, after_beside)
