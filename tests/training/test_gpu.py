"""Training on a CUDA device does what it does on the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_resume import check_going_on, quiet

import weft
from weft.training.trainer import Trainer

Write = Callable[..., Path]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device on this machine")
UNDROPPED = [f"model.{part}.dropout=0" for part in ("embedding", "encoder", "decoder")]


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["event"] == "validation"]


@pytest.mark.parametrize("model", ["rnn", "lstm", "transformer"])
def test_losses_and_answers_are_those_of_the_cpu(recipe_file: Write, model: str) -> None:
    recipe = recipe_file(model, steps=16, precision="float32")
    answers = {}
    for device in ("cpu", "cuda"):
        trained: Any = weft.train(recipe, f"name={device}", f"training.device={device}", *UNDROPPED, say=quiet)
        answers[device] = [one.text for one in trained.predict(["a b c", "f e", "d"], beam=2)]
    runs = recipe.parent / "runs"
    assert losses(runs / "cuda") == pytest.approx(losses(runs / "cpu"), rel=1e-3)
    assert answers["cuda"] == answers["cpu"]


@pytest.mark.parametrize("model", ["rnn", "transformer"])
def test_bf16_trains_as_well(recipe_file: Write, model: str) -> None:
    recipe = recipe_file(model, steps=200, device="cuda")
    for precision in ("float32", "bf16"):
        weft.train(recipe, f"name={precision}", f"training.precision={precision}", say=quiet)
    runs = recipe.parent / "runs"
    assert losses(runs / "bf16")[-1] == pytest.approx(losses(runs / "float32")[-1], abs=0.1)


def test_batches_are_pinned_and_read_ahead(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[bool] = []
    update: Callable[..., None] = Trainer.update

    def watched(self: Trainer, rows: Any, batch: Any, *given: Any) -> None:
        pinned.append(batch.source.data.is_pinned() and batch.gold.lengths.is_pinned())
        update(self, rows, batch, *given)

    monkeypatch.setattr(Trainer, "update", watched)
    weft.train(recipe_file("rnn", steps=4, device="cuda"), say=quiet)
    assert pinned == [True] * 4


def test_a_run_that_was_cut_goes_on(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file("rnn", steps=12, device="cuda")
    runs = check_going_on(recipe, monkeypatch, 10)
    assert losses(runs / "cut") == pytest.approx(losses(runs / "whole"), rel=1e-3)
