"""A run that dies at any moment and goes on equals one that was never disturbed, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import weft
from weft.data.batch import Batch
from weft.errors import WeftError
from weft.models.directory import read_tensors
from weft.training.average import average
from weft.training.start import Start
from weft.training.train import Interrupted
from weft.training.trainer import Trainer
from weft.training.validation import Validation

Write = Callable[..., Path]


class Killed(BaseException):
    """Ends a run between two steps; unlike SIGKILL it lets `finally` run."""


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


def check_dying_changes_nothing(recipe: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """runs/cut, which dies once in the middle of a step, becomes what runs/whole is."""
    runs = check_going_on(recipe, monkeypatch, step)
    assert tensors(runs / "cut") == tensors(runs / "whole")


def check_going_on(recipe: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> Path:
    """Train runs/whole, and runs/cut, which dies once in the middle of a step and goes on; the folder of both."""
    weft.train(recipe, "name=whole", say=quiet)
    update, dead = Trainer.update, False

    def dies_once(self: Trainer, *given: Any) -> None:
        nonlocal dead
        update(self, *given)
        if self.progress.step == step and not dead:
            dead = True
            raise Killed

    monkeypatch.setattr(Trainer, "update", dies_once)
    assert train_until_done(recipe, "name=cut") == 1
    return recipe.parent / "runs"


def life(recipe: Path, dies_at: int | None, *overrides: str) -> int:
    """Train in a process of its own that ends like SIGKILL just before its n-th file operation; its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    operations = 0

    def hook(event: str, _arguments: Any) -> None:
        nonlocal operations
        if event in ("os.rename", "os.remove", "os.rmdir"):
            operations += 1
            if operations == dies_at:
                os._exit(9)

    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.addaudithook(hook)
        weft.train(recipe, *overrides, say=quiet)
        os._exit(0)
    except BaseException:
        os._exit(1)


@pytest.mark.parametrize("model", ["rnn", "transformer"])
def test_dying_before_any_file_operation_loses_nothing(recipe_file: Write, model: str) -> None:
    recipe = recipe_file(model, steps=8)
    runs = recipe.parent / "runs"
    every = "validation.every=4"
    weft.train(recipe, "name=whole", every, say=quiet)
    whole = tensors(runs / "whole")
    dies_at, deaths = 1 if model == "rnn" else 3, 0
    while life(recipe, dies_at, "name=cut", every) == 9:
        deaths += 1
        before = max((int(state.name[6:]) for state in (runs / "cut/training").glob("state-*")), default=0)
        assert life(recipe, None, "name=cut", every) == 0, f"could not go on after dying at operation {dies_at}"
        assert tensors(runs / "cut") == whole, f"another result after dying at operation {dies_at}"
        records = [json.loads(line) for line in (runs / "cut/log.jsonl").read_text().splitlines()]
        last = [record for record in records if record["event"] in ("start", "resume")][-1]
        assert last["step"] == before
        assert not [*(runs / "cut").rglob(".*.part")]
        shutil.rmtree(runs / "cut")
        dies_at += 4
    assert deaths >= 8


@pytest.mark.parametrize("step", [1, 9, 17])
def test_dying_in_the_middle_of_a_step_changes_nothing(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    recipe = recipe_file("rnn")
    check_dying_changes_nothing(recipe, monkeypatch, step)


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


@pytest.mark.parametrize("end", ["training.steps=9", "training.epochs=2"])
def test_a_finished_run_is_left_as_it_is(recipe_file: Write, end: str) -> None:
    recipe = recipe_file("rnn", average=2)
    weft.train(recipe, end, say=quiet)
    run = recipe.parent / "runs/run"
    before, log = tensors(run), (run / "log.jsonl").read_text()
    weft.train(recipe, end, say=quiet)
    assert tensors(run) == before
    again = [json.loads(line)["event"] for line in (run / "log.jsonl").read_text()[len(log) :].splitlines()]
    assert again == ["resume", "end"]


def test_more_steps_go_on_from_the_end(recipe_file: Write) -> None:
    recipe = recipe_file("transformer", schedule={"kind": "constant", "warmup": 5})
    weft.train(recipe, "name=whole", say=quiet)
    weft.train(recipe, "name=cut", "training.steps=16", say=quiet)
    weft.train(recipe, "name=cut", say=quiet)
    assert tensors(recipe.parent / "runs/cut") == tensors(recipe.parent / "runs/whole")


def test_a_run_that_ended_between_validations_goes_on_as_if_it_had_not(recipe_file: Write) -> None:
    recipe = recipe_file("rnn", schedule={"kind": "constant", "warmup": 5}, average=2)
    weft.train(recipe, "name=whole", say=quiet)
    weft.train(recipe, "name=cut", "training.steps=13", say=quiet)
    weft.train(recipe, "name=cut", say=quiet)
    assert tensors(recipe.parent / "runs/cut") == tensors(recipe.parent / "runs/whole")


def test_what_only_an_end_found_best_does_not_outlive_it(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, step, validate = {13: 1.0, 8: 2.0}, 0, Trainer.validate

    def validated(self: Trainer, *given: Any, **named: Any) -> None:
        nonlocal step
        step = self.progress.step
        validate(self, *given, **named)

    monkeypatch.setattr(Trainer, "validate", validated)
    monkeypatch.setattr(Validation, "deciding", lambda *_: scores.get(step, 3.0))
    recipe = recipe_file("rnn", schedule={"kind": "constant", "warmup": 5}, average=0, keep_best=1, keep_last=1)
    weft.train(recipe, "name=whole", "validation.every=4", "training.steps=20", say=quiet)
    weft.train(recipe, "name=cut", "validation.every=4", "training.steps=13", say=quiet)
    weft.train(recipe, "name=cut", "validation.every=4", "training.steps=20", say=quiet)
    assert tensors(recipe.parent / "runs/cut") == tensors(recipe.parent / "runs/whole")


def test_an_average_asked_for_later_is_made(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, say=quiet)
    weft.train(recipe, "training.average=2", say=quiet)
    log = (recipe.parent / "runs/run/log.jsonl").read_text()
    assert log.count("average of the last 2 checkpoints") == 1


def test_without_the_average_the_run_is_its_best_checkpoint_again(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([3.0, 2.0, 2.5, 1.0])  # three validations and the average
    monkeypatch.setattr(Validation, "deciding", lambda *_: next(scores))
    recipe = recipe_file("rnn", average=2)
    weft.train(recipe, say=quiet)
    run = recipe.parent / "runs/run"
    best = read_tensors(run / "checkpoints/00000016.safetensors")
    averaged = read_tensors(run / "model.safetensors")
    assert any(not torch.equal(averaged[name], tensor) for name, tensor in best.items())
    weft.train(recipe, "training.average=0", say=quiet)
    assert "2 (step 16)" in (run / "card.md").read_text()
    alone = read_tensors(run / "model.safetensors")
    assert all(torch.equal(alone[name], tensor) for name, tensor in best.items())


def test_a_model_without_a_state_is_not_trained_over(recipe_file: Write, tmp_path: Path) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, "training.steps=4", "validation.every=2", say=quiet)
    average(recipe.parent / "runs/run", "last", 2, tmp_path / "mean")
    before = (tmp_path / "mean/model.safetensors").read_bytes()
    with pytest.raises(WeftError, match="no state to go on from"):
        weft.train(tmp_path / "mean", say=quiet)
    assert (tmp_path / "mean/model.safetensors").read_bytes() == before


def test_a_finished_run_without_its_state_is_not_trained_over(recipe_file: Write) -> None:
    recipe = recipe_file("rnn", steps=2)
    weft.train(recipe, say=quiet)
    run = recipe.parent / "runs/run"
    shutil.rmtree(run / "training")
    before = (run / "model.safetensors").read_bytes()
    for again in (recipe, run):
        with pytest.raises(WeftError, match="no state to go on from"):
            weft.train(again, "training.steps=2", say=quiet)
    assert (run / "model.safetensors").read_bytes() == before


def test_fewer_micro_batches_may_be_asked_for_later(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, "training.steps=4", "training.accumulate=4", say=quiet)
    parts, divided = [], Batch.parts
    monkeypatch.setattr(Batch, "parts", lambda self, count: parts.append(count) or divided(self, count))
    weft.train(recipe, "training.steps=6", "training.accumulate=2", say=quiet)
    assert set(parts) == {2}


def test_copies_beside_states_and_checkpoints_are_left_alone(recipe_file: Write) -> None:
    recipe = recipe_file("rnn", keep_last=1, keep_best=1)
    weft.train(recipe, "name=whole", say=quiet)
    weft.train(recipe, "name=cut", "training.steps=8", say=quiet)
    cut = recipe.parent / "runs/cut"
    state, checkpoint = cut / "training/state-00000008", cut / "checkpoints/00000008.safetensors"
    copies = state.with_name("state-00000008.copy"), checkpoint.with_name("mine.safetensors")
    shutil.copytree(state, copies[0])
    shutil.copyfile(checkpoint, copies[1])
    weft.train(recipe, "name=cut", "training.steps=16", say=quiet)
    weft.train(recipe, "name=cut", say=quiet)
    assert (copies[0] / "progress.json").is_file() and copies[1].is_file()
    shutil.rmtree(copies[0])
    copies[1].unlink()
    assert tensors(cut) == tensors(recipe.parent / "runs/whole")


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


def test_a_run_goes_on_with_its_first_line_as_it_was_read_when_it_began(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    run, pairs = recipe.parent / "runs/run", recipe.parent / "pairs.tsv"
    text = "".join(f"{line}\n" for line in ["en\tde", *(f"{'a b c ' * 9}\t{'b a c ' * 9}" for _ in range(30))])
    pairs.write_text(text + pairs.read_text())
    weft.train(recipe, "training.steps=4", "data.columns.header=false", say=quiet)
    kept = run / "recipe.yaml"
    kept.write_text(kept.read_text().replace("header: false", "header: null"))  # as before first lines were looked at
    for again in (recipe, run):
        with pytest.raises(WeftError) as caught:
            weft.train(again, "training.steps=8", say=quiet)
        assert str(caught.value) == (
            f"{pairs}: the first line was a pair when {run} began, and is taken for a header now; "
            f"go on as it began: weft train {run} data.columns.header=false"
        )
    with pytest.raises(WeftError, match="the first line was a pair"):
        weft.train(run, "data.columns.header=true", say=quiet)
    weft.train(run, "training.steps=6", "data.columns.header=false", say=quiet)
    weft.train(run, "training.steps=8", say=quiet)  # which it has kept


def test_a_run_of_another_recipe_is_refused(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, "training.steps=2", say=quiet)
    before = tensors(recipe.parent / "runs/run")
    with pytest.raises(WeftError, match=r"run of another recipe: training.seed is 1 there and 2 here"):
        weft.train(recipe, "training.seed=2", say=quiet)
    assert tensors(recipe.parent / "runs/run") == before


def test_a_run_that_is_refused_before_its_first_step_leaves_nothing(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_start: Start, _trainer: Trainer) -> None:
        raise WeftError("refused")

    monkeypatch.setattr(Start, "begin", refused)
    recipe = recipe_file("rnn")
    with pytest.raises(WeftError, match="refused"):
        weft.train(recipe, "name=deep/run", say=quiet)
    assert not (recipe.parent / "runs").exists()
    mine = recipe.parent / "runs/run/.mine"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(WeftError, match="refused"):
        weft.train(recipe, say=quiet)
    assert [*mine.parent.iterdir()] == [mine]


def test_one_process_at_a_time(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file("rnn")
    seen = []

    def second(self: Trainer) -> None:
        with pytest.raises(WeftError, match="being trained already, by process") as caught:
            weft.train(recipe, say=quiet)
        seen.append(caught)

    monkeypatch.setattr(Trainer, "try_longest_batches", second)
    weft.train(recipe, "training.steps=1", say=quiet)
    assert seen
