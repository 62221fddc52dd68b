"""What a trainer needs of a task: examples in an order, what its decoder is fed, and how good it is meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from weft.data.batch import Batch, Order, Rows
from weft.data.corpus import Prepared
from weft.data.examples import Examples
from weft.data.series import PreparedSeries
from weft.recipe import Recipe
from weft.tasks.series import SeriesModel
from weft.tasks.text import Model
from weft.training.annealing import Annealed
from weft.training.feeding import Feeding, feeding
from weft.training.forecasting import ForecastValidation, training_windows, value_feeding
from weft.training.validation import Result, Validation


class Drawn(Protocol):
    """Examples by number."""

    order: Order

    def batch(self, rows: Rows, epoch: int) -> Batch: ...

    def record(self, row: int) -> dict[str, Any]:
        """An example, for people to read."""


class Judge(Protocol):
    """Scores on the development set."""

    higher_is_better: bool

    def run(self) -> Result: ...

    def try_out(self) -> None: ...

    def deciding(self, result: Result) -> float: ...

    def is_better(self, score: float, best: float | None) -> bool: ...


@dataclass(frozen=True)
class Material:
    examples: Drawn
    validation: Judge
    feeding: Callable[[int], Any]  # what `network.loss` takes at a step, counted from 1


def material(recipe: Recipe, model: Model | SeriesModel, data: Prepared | PreparedSeries) -> Material:
    """What the recipe's task trains on."""
    settings = recipe.training.feeding
    if isinstance(model, SeriesModel):
        assert isinstance(data, PreparedSeries)
        return Material(
            training_windows(model, data),
            ForecastValidation(model, data),
            lambda step: value_feeding(settings, step),
        )
    assert isinstance(data, Prepared)
    variational = recipe.model.context.variational

    def fed(step: int) -> Feeding:
        feed = feeding(settings, step)
        return feed if variational is None else Annealed(feed, variational, step)

    return Material(Examples(recipe, data), Validation(recipe, model, data.dev), fed)
