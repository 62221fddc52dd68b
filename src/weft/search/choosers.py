"""Which hypotheses go on: one small class a strategy.

B sentences, K hypotheses of each, V vocabulary, C candidates.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class Candidates(NamedTuple):
    """Extensions of the hypotheses of each sentence, best first."""

    totals: Tensor  # (B,C) summed log-probabilities, end included
    parents: Tensor  # (B,C) which hypothesis is extended, 0..K-1
    tokens: Tensor  # (B,C) by which token


class Chooser(Protocol):
    width: int  # K

    def choose(self, log_probs: Tensor, totals: Tensor) -> Candidates:
        """log_probs (B,K,V), totals (B,K) -> at least K candidates that are not the end, where there are as many."""


class Greedy:
    """The one most probable token."""

    width = 1

    def choose(self, log_probs: Tensor, totals: Tensor) -> Candidates:
        best, tokens = log_probs.max(-1)
        return Candidates(totals + best, tokens.new_zeros(tokens.shape), tokens)


class Beam:
    """The K best extensions, and as many more as may turn out to be ends."""

    def __init__(self, width: int) -> None:
        self.width = width

    def choose(self, log_probs: Tensor, totals: Tensor) -> Candidates:
        wanted = 2 * self.width
        best, tokens = log_probs.topk(min(wanted, log_probs.size(-1)), -1)
        each = best.size(-1)
        scores, places = (totals[..., None] + best).flatten(1).topk(min(wanted, self.width * each), -1)
        return Candidates(scores, places // each, tokens.flatten(1).gather(1, places))
