"""How well a model answers pairs that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from weft.data.batch import Batch, Order, Rows
from weft.data.corpus import Corpus
from weft.data.direction import Direction
from weft.data.examples import read_batch
from weft.errors import WeftError
from weft.metrics import score
from weft.metrics.score import Score
from weft.models.mode import answering
from weft.recipe import Recipe
from weft.tasks.text import Model, Prediction


@dataclass(frozen=True)
class Item:
    """One source with all that is right for it."""

    source: str
    references: list[str]


@dataclass(frozen=True)
class Evaluation:
    scores: list[Score]
    items: list[Item]
    predictions: list[Prediction]

    def cut_off(self) -> int:
        """How many outputs stopped at the length cap."""
        return sum(prediction.finish_reason == "length" for prediction in self.predictions)


def items(pairs: Iterable[tuple[str, str]], several_references: bool) -> list[Item]:
    """One item a pair, or one a source with the targets of all its pairs."""
    if not several_references:
        return [Item(source, [target]) for source, target in pairs]
    references: dict[str, list[str]] = {}
    for source, target in pairs:
        references.setdefault(source, []).append(target)
    return [Item(source, targets) for source, targets in references.items()]


def evaluate(
    model: Model, chosen: Sequence[Item], metrics: Sequence[str], direction: Direction = "forward", **search: Any
) -> Evaluation:
    """Search for each item's output, and score the text that comes out against its untouched references."""
    recipe = model.recipe
    predictions = model.predict([item.source for item in chosen], direction=direction, **search)
    scores = score.compute(
        metrics,
        [prediction.text for prediction in predictions],
        [item.references for item in chosen],
        recipe.source_language if direction == "backward" else recipe.target_language,
    )
    return Evaluation(scores, list(chosen), predictions)


@torch.no_grad()
def mean_loss(model: Model, corpus: Corpus, rows: Rows, tokens: int) -> float:
    """Cross-entropy of these pairs in nats a target token, end included, without label smoothing.

    What the loss of a variational vector draws is the same each time, and of no consequence for what is drawn later.
    """
    with answering(model.network):
        total, count = 0.0, 0
        with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
            torch.manual_seed(0)
            for batch in batches(model, corpus, rows, tokens):
                loss, number = model.network.loss(batch, smoothing=0.0)
                total += float(loss)
                count += int(number)
    return total / count


@torch.no_grad()
def mean_divergence(model: Model, corpus: Corpus, rows: Rows, tokens: int) -> float | None:
    """Nats from N(0,1) of these pairs' vectors, an item; None where the vector is not variational."""
    if model.recipe.model.context.variational is None:
        return None
    with answering(model.network):
        total = 0.0
        for batch in batches(model, corpus, rows, tokens):
            divergence = model.network.encode(batch.source).divergence
            assert divergence is not None
            total += float(divergence.sum())
    return total / len(rows)


def batches(model: Model, corpus: Corpus, rows: Rows, tokens: int) -> Iterator[Batch]:
    order = Order(corpus.source_lengths[rows], corpus.target_lengths[rows], tokens, seed=0)
    return (read_batch(corpus, rows[places]).to(model.device) for places in order.epoch(0))


def default_metrics(recipe: Recipe) -> list[str]:
    """The recipe's metrics; without any, those of tags or gaps, error rates of words, BLEU and chrF of text.

    A language model has nothing to answer, and is measured by its loss alone.
    """
    if recipe.model.encoder.kind == "none" or recipe.model.decoder.kind == "pixels":
        return []
    if recipe.validation.metrics:
        return list(recipe.validation.metrics)
    if recipe.tags:
        return {
            "words": ["tag_accuracy", "exact_match"],
            "line": ["exact_match", "macro_f1"],
            "both": ["exact_match", "first_accuracy", "tag_accuracy"],
            "labels": ["micro_f1", "macro_f1", "exact_match"],
        }[recipe.tags]
    if gaps := recipe.data.gaps:
        return ["exact_match", "gap_accuracy"] if gaps.count > 1 else ["exact_match"]
    return ["line_error_rate", "unit_error_rate"] if recipe.vocabulary.target.kind == "word" else ["bleu", "chrf"]


def validated_metrics(recipe: Recipe) -> list[str]:
    """The metrics of each validation, that which decides among them; WeftError for one that there is not."""
    metrics, deciding = default_metrics(recipe), recipe.validation.metric
    told = deciding != "loss" or recipe.validation.metrics
    if recipe.model.encoder.kind == "none" and told:
        raise WeftError("model.encoder.kind is none: a language model is validated by its loss, not by metrics")
    if recipe.model.decoder.kind == "pixels" and told:
        raise WeftError("model.decoder.kind is pixels: an autoencoder is validated by its loss, not by metrics")
    if deciding not in ("loss", *metrics):
        metrics = [deciding, *metrics]
    score.check_names(metrics, recipe.target_language)
    return metrics
