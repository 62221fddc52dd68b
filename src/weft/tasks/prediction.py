"""What a model answers to one line."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from weft.data.gaps import filled


@dataclass(frozen=True)
class Prediction:
    """One line's output; `str()` of it is the text."""

    text: str
    score: float  # log-probability / length^penalty (+ coverage)
    tokens: list[str]
    token_scores: list[float]
    finish_reason: str  # end, length (cut off at the cap), empty (an empty line in)
    source_tokens: list[str] = field(default_factory=list)
    unknown: int = 0  # source tokens that the vocabulary does not have
    attention: Tensor | None = None  # (T,S) rows: tokens and the end; columns: source_tokens and the end
    labels: dict[str, float] | None = None  # of a decoder of labels: how probable each is, there or not
    filled: str | None = None  # of a line with gaps, the line with the text in them
    utility: float | None = None  # with minimum Bayes risk: mean chrF against the samples, 0..100
    alternatives: list[Prediction] = field(default_factory=list)

    def __str__(self) -> str:
        return self.text

    def in_line(self, line: str) -> Prediction:
        """This, and its alternatives, with the line whose gaps they fill."""
        others = [other.in_line(line) for other in self.alternatives]
        return replace(self, filled=filled(line, self.text), alternatives=others)

    def record(self) -> dict[str, Any]:
        """What `--jsonl` prints."""
        plain: dict[str, Any] = {
            "text": self.text,
            "score": self.score,
            "tokens": self.tokens,
            "token_scores": self.token_scores,
            "finish_reason": self.finish_reason,
        }
        if self.labels is not None:
            plain["labels"] = self.labels
        if self.filled is not None:
            plain["filled"] = self.filled
        if self.unknown:
            plain["unknown_source_tokens"] = self.unknown
        if self.utility is not None:
            plain["utility"] = self.utility
        if self.attention is not None:
            plain["source_tokens"] = self.source_tokens
            plain["attention"] = self.attention.tolist()
        if self.alternatives:
            plain["alternatives"] = [other.record() for other in self.alternatives]
        return plain
