from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

import weft
from weft.recipe import Optimizer, Schedule, Training
from weft.training.schedule import LearningRate, never_full


def rates(kind: str, steps: int = 100, **more: object) -> LearningRate:
    schedule = Schedule(kind=kind, warmup=10, **more)
    return LearningRate(Training(steps=steps, optimizer=Optimizer(learning_rate=0.5), schedule=schedule))


@pytest.mark.parametrize("kind", ["constant", "inverse_sqrt", "cosine", "plateau"])
def test_warm_up_is_linear_to_the_full_rate(kind: str) -> None:
    rate = rates(kind)
    assert rate.rate(1) == pytest.approx(0.05)
    assert rate.rate(10) == pytest.approx(0.5)


def test_inverse_square_root() -> None:
    assert rates("inverse_sqrt").rate(40) == pytest.approx(0.5 * math.sqrt(10 / 40))


def test_cosine_ends_at_its_floor() -> None:
    rate = rates("cosine", floor=0.1)
    assert rate.rate(55) == pytest.approx(0.5 * 0.55)
    assert rate.rate(100) == pytest.approx(0.05)
    assert rate.rate(500) == pytest.approx(0.05)


def test_plateau_halves_after_its_patience_and_resumes() -> None:
    rate = rates("plateau", patience=1)
    for loss in (3.0, 2.0, 2.0):
        rate.validated(loss)
    assert rate.rate(50) == pytest.approx(0.5)
    again = rates("plateau", patience=1)
    again.resume(rate.state())
    again.validated(2.5)
    assert again.rate(50) == pytest.approx(0.25)


def test_steps_that_end_before_the_warm_up_are_told(recipe_file: Callable[..., Path]) -> None:
    optimizer, schedule = Optimizer(learning_rate=0.002), Schedule(warmup=1000)
    assert never_full(Training(steps=1000, optimizer=optimizer, schedule=schedule)) == []
    assert never_full(Training(steps=300, optimizer=optimizer, schedule=schedule)) == [
        "warning: training.steps is 300, and the warm-up takes 1,000: the learning rate ends at 0.0006 and is never "
        "0.002  (training.schedule.warmup=...)"
    ]
    told: list[str] = []
    weft.train(recipe_file(steps=1, schedule={"warmup": 5}), say=told.append)
    assert len([line for line in told if line.startswith("warning: training.steps is 1, ")]) == 1
