"""Training on series: which windows, what a decoder is fed, and how good its forecasts are meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from weft.data.series import PreparedSeries, origins
from weft.data.windows import Windows
from weft.metrics.forecast import Errors
from weft.models.base import Memory
from weft.models.forecaster import Feed, Forecaster, Steps, free_running, teacher_forcing
from weft.recipe import Feeding
from weft.tasks.series import SeriesModel
from weft.training.feeding import probability
from weft.training.validation import SAMPLES, Judging, Result, spread

BARS = "▁▂▃▄▅▆▇█"
DRAWN = 24  # bars of a sample


def training_windows(model: SeriesModel, data: PreparedSeries) -> Windows:
    """The windows of the training part, in batches of at most `batch_tokens` rows."""
    recipe = model.recipe
    starts = origins(data.train, model.settings, model.settings.stride)
    return Windows(data.series, starts, model.settings, model.patch, recipe.training.batch_tokens, recipe.training.seed)


def value_feeding(settings: Feeding, step: int) -> Feed:
    """What is fed at a step, counted from 1: what is so, or with a growing probability what was said."""
    share = probability(settings, step)
    if share == 1.0:
        return teacher_forcing
    return free_running if share == 0.0 else OwnValues(share)


class OwnValues:
    """Each step is fed what is so with a probability, and otherwise what the model said (Bengio et al. 2015).

    A decoder that takes all steps at once says everything first and is then fed a mixture (Mihaylova & Martins 2019).
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, model: Forecaster, memory: Memory, steps: Steps) -> Tensor:
        if not model.decoder.parallel:
            return model.roll_out(memory, steps, self.mixed)
        with torch.no_grad():
            said = model.next(teacher_forcing(model, memory, steps))
        later = self.mixed(said[:, :-1], steps.values[:, 1:])
        return teacher_forcing(model, memory, Steps(torch.cat([steps.values[:, :1], later], 1), steps.known))

    def mixed(self, said: Tensor, true: Tensor) -> Tensor:
        """(...,P*c) each: a step is taken whole from one or the other."""
        return torch.where(torch.rand(said.shape[:-1], device=said.device)[..., None] < self.share, true, said)


class ForecastValidation(Judging):
    """Loss, MSE and MAE of real forecasts, over a bounded part of the development set."""

    higher_is_better = False

    def __init__(self, model: SeriesModel, data: PreparedSeries) -> None:
        self.settings = model.recipe.validation
        self.model = model
        self.columns = model.scaler.columns
        self.windows = model.windows(data.series, data.dev)
        self.rows = spread(len(self.windows), self.settings.loss_pairs)

    def run(self) -> Result:
        return self.over(self.rows)

    def over(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Result:
        errors = Errors.none(self.windows.horizon, len(self.columns))
        network = self.model.network
        total, count = 0.0, 0
        samples: list[dict[str, str]] = []
        for block in self.model.blocks(self.windows, rows):
            batch = self.windows.batch(block)
            found = torch.from_numpy(self.model.forecasts(self.windows, block))
            loss, number = network.loss_of(found, batch.gold.data)
            total, count = total + float(loss), count + int(number)
            point = network.point(found)
            errors.add(point.numpy(), batch.gold.data.numpy())
            for place in range(min(len(block), SAMPLES - len(samples))):
                drawn = (batch.source.data[place, :, 0], batch.gold.data[place, :, 0], point[place, :, 0])
                samples.append(dict(zip(("source", "target", "output"), sparklines(drawn), strict=True)))
        return Result(total / max(1, count), errors.scores(), samples)

    def try_out(self) -> None:
        """Two windows, so that what would break a validation does so before the first step."""
        self.over(self.rows[:2])


def sparklines(drawn: Sequence[Tensor]) -> list[str]:
    """Values (T,) of one column as bars, the last of the first and the first of the others; missing ones are spaces."""
    source, *ahead = (values.tolist() for values in drawn)
    shown = [source[-DRAWN:], *(values[:DRAWN] for values in ahead)]
    there = [value for values in shown for value in values if not math.isnan(value)]
    low = min(there, default=0.0)
    span = (max(there, default=0.0) - low) or 1.0
    return ["".join(bar((value - low) / span) for value in values) for values in shown]


def bar(height: float) -> str:
    """A height of 0..1."""
    return " " if math.isnan(height) else BARS[min(len(BARS) - 1, int(height * len(BARS)))]
