"""How good a model is on the development set while it trains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import weft.recipe
from weft.data.batch import Rows
from weft.data.corpus import Corpus
from weft.metrics.score import higher_is_better
from weft.recipe import Recipe
from weft.tasks.evaluate import Item, evaluate, items, mean_divergence, mean_loss, validated_metrics
from weft.tasks.text import Model

SAMPLES = 3
SEARCHED: dict[str, Any] = {"kind": "beam", "minimum_bayes_risk": 0, "language_model": None}  # never drawn, never slow


@dataclass(frozen=True)
class Result:
    loss: float  # nats a target token
    scores: dict[str, float]
    samples: list[dict[str, str]]


class Judging:
    """Which of two validations is the better one."""

    settings: weft.recipe.Validation
    higher_is_better: bool

    def deciding(self, result: Result) -> float:
        """The score that checkpoints are compared by; infinitely bad where it or the loss is no number."""
        score = result.loss if self.settings.metric == "loss" else result.scores[self.settings.metric]
        if math.isfinite(result.loss) and not math.isnan(score):
            return score
        return -math.inf if self.higher_is_better else math.inf

    def is_better(self, score: float, best: float | None) -> bool:
        if best is None:
            return math.isfinite(score)
        return score > best if self.higher_is_better else score < best


class Validation(Judging):
    """Loss and the task's metrics on real search output, over a bounded part of the development set."""

    def __init__(self, recipe: Recipe, model: Model, dev: Corpus) -> None:
        self.settings = recipe.validation
        self.model = model
        self.dev = dev
        self.metrics = validated_metrics(recipe)
        self.tokens = recipe.training.batch_tokens
        self.higher_is_better = higher_is_better(self.settings.metric)
        self.loss_rows = spread(len(dev), self.settings.loss_pairs)
        self.items = self.chosen_items()

    def chosen_items(self) -> list[Item]:
        count, several = self.settings.items, self.settings.several_references
        total = self.dev.forward
        rows = range(total) if several else spread(total, count)
        found = items(((self.dev.source_text(row), self.dev.target_text(row)) for row in rows), several)
        return [found[place] for place in spread(len(found), count)]

    def run(self) -> Result:
        loss = mean_loss(self.model, self.dev, self.loss_rows, self.tokens)
        divergence = mean_divergence(self.model, self.dev, self.loss_rows, self.tokens)
        scores = {} if divergence is None else {"divergence": divergence}
        if not self.metrics:
            return Result(loss, scores, [])
        found = evaluate(self.model, self.items, self.metrics, **SEARCHED, beam=self.settings.beam)
        samples = [
            {"source": item.source, "target": item.references[0], "output": prediction.text}
            for item, prediction in list(zip(found.items, found.predictions, strict=True))[:SAMPLES]
        ]
        return Result(loss, {score.name: score.value for score in found.scores} | scores, samples)

    def try_out(self) -> None:
        """The longest pair and two searches, so that what would break a validation does so before the first step."""
        lengths = self.dev.source_lengths[self.loss_rows] + self.dev.target_lengths[self.loss_rows]
        mean_loss(self.model, self.dev, self.loss_rows[np.argsort(-lengths, kind="stable")[:2]], self.tokens)
        if self.metrics:
            evaluate(self.model, self.items[:2], self.metrics, **SEARCHED, beam=1, max_ratio=1.0, max_extra=1)


def spread(total: int, count: int) -> Rows:
    """At most `count` of 0..total-1, evenly over the whole, for a file may be in alphabetical order."""
    if total <= count:
        return np.arange(total)
    return np.arange(count) * total // count
