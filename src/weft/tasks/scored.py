"""How probable a given target is to a model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scored:
    """The exact log-probability of one target, in nats."""

    tokens: list[str]
    token_scores: list[float]  # of each token, and of the end
    unknown: int = 0  # target tokens that the vocabulary does not have; their score is that of the unknown token

    @property
    def log_probability(self) -> float:
        return sum(self.token_scores)

    @property
    def perplexity(self) -> float:
        return perplexity(self.log_probability, len(self.token_scores))

    def record(self) -> dict[str, Any]:
        """What `--jsonl` writes."""
        plain: dict[str, Any] = {
            "log_probability": self.log_probability,
            "perplexity": self.perplexity,
            "tokens": self.tokens,
            "token_scores": self.token_scores,
        }
        if self.unknown:
            plain["unknown_target_tokens"] = self.unknown
        return plain


def perplexity(total: float, tokens: int) -> float:
    """exp of the mean cross-entropy of so many tokens, ends included."""
    nats = -total / tokens
    return math.exp(nats) if nats < 700 else math.inf
