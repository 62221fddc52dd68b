"""A run that dies at any moment and goes on equals one that was never disturbed, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.errors import WeftError
from weft.training import trainer as trainer_module
from weft.training.train import Interrupted
from weft.training.trainer import Trainer

Write = Callable[..., Path]


class Killed(BaseException):
    """Stands for SIGKILL: nothing that handles errors sees it."""


def quiet(_line: str) -> None:
    pass


def tensors(run: Path) -> dict[str, Any]:
    """All that a run ends with, byte for byte."""
    (state,) = (run / "training").glob("state-*")
    files = [run / "model.safetensors", *sorted(state.glob("*.safetensors")), *sorted((run / "checkpoints").glob("*"))]
    found: dict[str, Any] = {str(file.relative_to(run)): file.read_bytes() for file in files}
    progress = json.loads((state / "progress.json").read_text())
    progress.pop("seconds")
    return {**found, "progress": progress}


def train_until_done(recipe: Path, *overrides: str) -> int:
    """Go on as often as it dies; gives how often it did."""
    deaths = 0
    while True:
        try:
            weft.train(recipe, *overrides, say=quiet)
            return deaths
        except Killed:
            deaths += 1


@pytest.mark.parametrize(("model", "stride"), [("rnn", 7), ("transformer", 11)])
def test_dying_at_any_file_operation_changes_nothing(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch, model: str, stride: int
) -> None:
    recipe = recipe_file(model)
    weft.train(recipe, "name=whole", say=quiet)
    replace, life, calls = Path.replace, 0, 0

    def dies(*paths: Path) -> None:
        """Each life is longer than the last, and ends just before or just after a file takes its place."""
        nonlocal calls
        calls += 1
        if calls == stride * life and life % 2:
            raise Killed
        replace(*paths)
        if calls == stride * life:
            raise Killed

    monkeypatch.setattr(Path, "replace", dies)
    while True:
        life, calls = life + 1, 0
        try:
            weft.train(recipe, "name=cut", say=quiet)
            break
        except Killed:
            pass
    assert life >= 3
    assert tensors(recipe.parent / "runs/cut") == tensors(recipe.parent / "runs/whole")


@pytest.mark.parametrize("step", [1, 9, 17])
def test_dying_in_the_middle_of_a_step_changes_nothing(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, "name=whole", say=quiet)
    update = Trainer.update
    dead = False

    def dies_once(self: Trainer, *given: Any) -> None:
        nonlocal dead
        update(self, *given)
        if self.progress.step == step and not dead:
            dead = True
            raise Killed

    monkeypatch.setattr(Trainer, "update", dies_once)
    assert train_until_done(recipe, "name=cut") == 1
    assert tensors(recipe.parent / "runs/cut") == tensors(recipe.parent / "runs/whole")


def test_sigkill_and_sigterm_of_the_real_process(recipe_file: Write) -> None:
    recipe = recipe_file("rnn", steps=60)
    weft.train(recipe, "name=whole", say=quiet)
    cut = recipe.parent / "runs/cut"
    command = [sys.executable, "-m", "weft", "train", str(recipe), "name=cut"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number, expected in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130)):
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if "best" in line or "dev loss" in line:
                    process.send_signal(number)
                    break
            rest = process.stderr.read()
        assert process.returncode == expected
    assert "saved at step" in rest and f"weft train {cut}" in rest
    weft.train(cut, say=quiet)
    assert tensors(cut) == tensors(recipe.parent / "runs/whole")
    events = [json.loads(line)["event"] for line in (cut / "log.jsonl").read_text().splitlines()]
    assert events.count("resume") == 2 and events.count("start") == 1


def test_a_finished_run_is_left_as_it_is(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, say=quiet)
    before = tensors(recipe.parent / "runs/run")
    weft.train(recipe, say=quiet)
    assert tensors(recipe.parent / "runs/run") == before


def test_more_steps_go_on_from_the_end(recipe_file: Write) -> None:
    recipe = recipe_file("transformer", schedule={"kind": "constant", "warmup": 5})
    weft.train(recipe, "name=whole", say=quiet)
    weft.train(recipe, "name=cut", "training.steps=16", say=quiet)
    weft.train(recipe, "name=cut", say=quiet)
    assert tensors(recipe.parent / "runs/cut") == tensors(recipe.parent / "runs/whole")


def test_stopping_saves_and_says_how_to_go_on(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file("rnn")
    validate = Trainer.validate

    def stopped(self: Trainer) -> None:
        validate(self)
        self.stop("interrupted by SIGINT")

    monkeypatch.setattr(Trainer, "validate", stopped)
    with pytest.raises(Interrupted, match=r"saved at step 8. Go on with: weft train .*runs/run") as caught:
        weft.train(recipe, say=quiet)
    assert caught.value.exit_code == 130


def test_data_that_changed_cannot_be_gone_on_with(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, "training.steps=4", say=quiet)
    with (recipe.parent / "pairs.tsv").open("a") as pairs:
        pairs.write("a b\tb a\n")
    with pytest.raises(WeftError, match="has changed since it began"):
        weft.train(recipe, say=quiet)


def test_a_run_of_another_recipe_is_refused(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, "training.steps=2", say=quiet)
    before = tensors(recipe.parent / "runs/run")
    with pytest.raises(WeftError, match=r"run of another recipe: training.seed is 1 there and 2 here"):
        weft.train(recipe, "training.seed=2", say=quiet)
    assert tensors(recipe.parent / "runs/run") == before


def test_one_process_at_a_time(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file("rnn")
    seen = []

    def second(self: Trainer) -> None:
        with pytest.raises(WeftError, match="being trained already, by process") as caught:
            weft.train(recipe, say=quiet)
        seen.append(caught)

    monkeypatch.setattr(trainer_module.Trainer, "try_validation", second)
    weft.train(recipe, "training.steps=1", say=quiet)
    assert seen
