"""How the learning rate goes over the steps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from weft.recipe import Training


def never_full(training: Training) -> list[str]:
    """A line where the steps end before the warm-up does, or none."""
    rate, warmup = LearningRate(training), training.schedule.warmup
    if training.steps >= warmup:
        return []
    return [
        f"warning: training.steps is {training.steps:,}, and the warm-up takes {warmup:,}: the learning rate ends at "
        f"{rate.rate(training.steps):.2g} and is never {rate.full:g}  (training.schedule.warmup=...)"
    ]


@dataclass
class Plateau:
    """How far the rate has come down, and what it waits for."""

    scale: float = 1.0
    best: float = math.inf
    waited: int = 0


class LearningRate:
    """Linear warm-up to the full rate, then the schedule; `rate(step)` counts steps from 1."""

    def __init__(self, training: Training) -> None:
        self.full = training.optimizer.learning_rate
        self.schedule = training.schedule
        self.last_step = training.steps
        self.plateau = Plateau()

    def rate(self, step: int) -> float:
        warmup = self.schedule.warmup
        if step <= warmup:
            return self.full * step / warmup
        kind = self.schedule.kind
        if kind == "inverse_sqrt":  # Vaswani et al. 2017, equation 3, scaled so that its peak is the full rate
            return self.full * math.sqrt(max(1, warmup) / step)
        if kind == "cosine":  # Loshchilov & Hutter 2017, equation 5, without restarts
            done = min(1.0, (step - warmup) / max(1, self.last_step - warmup))
            floor = self.schedule.floor
            return self.full * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)
        if kind == "plateau":
            return self.full * self.plateau.scale
        return self.full

    def validated(self, loss: float) -> None:
        """Tell of a validation, lower being better; only plateau listens."""
        if self.schedule.kind != "plateau":
            return
        if loss < self.plateau.best:
            self.plateau.best, self.plateau.waited = loss, 0
            return
        self.plateau.waited += 1
        if self.plateau.waited > self.schedule.patience:
            self.plateau.scale *= self.schedule.factor
            self.plateau.waited = 0

    def state(self) -> dict[str, Any]:
        return asdict(self.plateau)

    def resume(self, state: dict[str, Any]) -> None:
        self.plateau = Plateau(**state)
