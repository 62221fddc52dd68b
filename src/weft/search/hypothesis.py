"""What a search finds, and what it remembers while it does.

N live hypotheses, t tokens so far, T in all, S source length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

NEVER_ATTENDED = 1e-10  # stands for a coverage of zero, whose logarithm there is not

FinishReason = Literal["end", "length"]


@dataclass(frozen=True)
class Hypothesis:
    tokens: list[int]  # without the end token
    token_scores: list[float]  # log-probability of each token, and of the end where there is one
    score: float  # the sum of token_scores / length^penalty, the length counted without the end, + coverage
    finish_reason: FinishReason
    attention: Tensor | None = None  # (T,S), mean over heads, one row for each of token_scores


@dataclass(frozen=True)
class Limits:
    """When a hypothesis is finished, and how finished ones are compared."""

    begin: int
    end: int
    max_lengths: Sequence[int]  # of each sentence, without the end token
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    n_best: int = 1
    attention: bool = False

    @property
    def keeps_weights(self) -> bool:
        return self.attention or self.coverage_penalty > 0

    def score(self, total: float, length: int) -> float:
        return total * math.pow(max(1, length), -self.length_penalty)  # no penalty is too large for that

    def best_possible(self, total: float, sentence: int) -> float:
        """What one that goes on can still reach: log-probabilities add up to less, coverage to zero at most."""
        return self.score(total, self.max_lengths[sentence])

    def hypothesis(
        self, tokens: list[int], scores: list[float], reason: FinishReason, weights: Tensor | None, source: int
    ) -> Hypothesis:
        """weights (T,S) or None; `source` is the length of the source."""
        score = self.score(sum(scores), len(tokens))
        if self.coverage_penalty and weights is not None:
            score += self.coverage_penalty * coverage(weights[:, :source])
        attention = weights.cpu() if self.attention and weights is not None else None
        return Hypothesis(tokens, scores, score, reason, attention)


def coverage(weights: Tensor) -> float:
    """sum over s of log min(sum over t of a_ts, 1), weights (T,S): zero where all is attended (Wu et al. 2016, 14)."""
    return float(weights.sum(0).clamp(NEVER_ATTENDED, 1.0).log().sum())


class History(NamedTuple):
    """What each live hypothesis has said, and looked at while it did."""

    tokens: Tensor  # (N,t)
    scores: Tensor  # (N,t)
    weights: Tensor | None  # (N,t,S)

    @classmethod
    def of_nothing(cls, count: int, source: int | None, device: torch.device) -> History:
        """N = `count`, t = 0; weights are kept where there is a source length for them."""
        empty = torch.empty(count, 0, device=device)
        return cls(empty.long(), empty, None if source is None else empty.new_empty(count, 0, source))

    def extended(self, tokens: Tensor, scores: Tensor, looked: Tensor | None) -> History:
        """The history after each has said one more of `tokens` (N,), with scores (N,), and looked (N,S)."""
        weights = None
        if self.weights is not None and looked is not None:
            weights = torch.cat([self.weights, looked[:, None]], 1)
        return History(
            torch.cat([self.tokens, tokens[:, None]], 1), torch.cat([self.scores, scores[:, None]], 1), weights
        )
