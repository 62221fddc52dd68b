"""What training does, and what it does about numbers and memory that go wrong."""

from __future__ import annotations

import errno
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from learning import MODELS

import weft
from weft.data.batch import Batch, pad
from weft.errors import WeftError
from weft.models.directory import read_tensors
from weft.models.seq2seq import Seq2Seq
from weft.nn.ends import SoftmaxOutput
from weft.training import trainer, validation
from weft.training.checkpoint import checkpoints
from weft.training.trainer import Trainer

Write = Callable[..., Path]


def quiet(_line: str) -> None:
    pass


def records(run: Path, event: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (run / "log.jsonl").read_text().splitlines())
    return [record for record in lines if record["event"] == event]


@pytest.mark.parametrize("encoder", ["rnn", "transformer"])
@pytest.mark.parametrize("decoder", ["lstm", "post"])
@pytest.mark.parametrize("reverse", [False, True])
def test_learns_to_copy_and_to_reverse(recipe_file: Write, encoder: str, decoder: str, reverse: bool) -> None:
    steps = 250 if (encoder, decoder) == ("rnn", "lstm") else 500
    recipe = recipe_file(
        encoder,
        count=1500,
        reverse=reverse,
        steps=steps,
        batch_tokens=512,
        label_smoothing=0.0,
        save_every=steps,
        schedule={"kind": "cosine", "warmup": 50},
    )
    overrides = ["model.embedding.dropout=0", f"model.decoder={json.dumps(MODELS[decoder]['decoder'])}"]
    trained = weft.train(recipe, *overrides, f"validation.every={steps}", "data.dev_fraction=0.05", say=quiet)
    rng = random.Random(9)
    lines = [" ".join(rng.choices("abcdef", k=rng.randint(1, 6))) for _ in range(100)]
    expected = [" ".join(reversed(line.split())) if reverse else line for line in lines]
    outputs = [str(output) for output in trained.predict(lines, beam=1)]
    assert sum(output == right for output, right in zip(outputs, expected, strict=True)) >= 90


def test_micro_batches_make_the_same_update(recipe_file: Write) -> None:
    recipe = recipe_file("lstm", steps=3)
    for parts in (1, 3):
        weft.train(recipe, f"name=parts{parts}", f"training.accumulate={parts}", say=quiet)
    whole, split = (read_tensors(recipe.parent / f"runs/parts{n}/model.safetensors") for n in (1, 3))
    for name, tensor in whole.items():
        torch.testing.assert_close(split[name], tensor, atol=1e-5, rtol=1e-4)


def test_memory_that_runs_out_shrinks_the_micro_batch_and_not_the_batch(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_file("lstm", steps=3)
    weft.train(recipe, "name=roomy", say=quiet)
    loss = Seq2Seq.loss
    tried = []

    def needs_memory(self: Seq2Seq, batch: Batch, *how: Any, **more: Any) -> Any:
        tried.append(len(batch.rows))
        if self.training and len(batch.rows) > 8:
            raise torch.OutOfMemoryError("out of memory")
        return loss(self, batch, *how, **more)

    monkeypatch.setattr(Seq2Seq, "loss", needs_memory)
    weft.train(recipe, "name=tight", say=quiet)
    notes = records(recipe.parent / "runs/tight", "note")
    assert "micro-batches" in notes[0]["message"]
    assert not records(recipe.parent / "runs/roomy", "note")
    roomy, tight = (read_tensors(recipe.parent / f"runs/{name}/model.safetensors") for name in ("roomy", "tight"))
    for name, tensor in roomy.items():
        torch.testing.assert_close(tight[name], tensor, atol=1e-5, rtol=1e-4)


def test_an_error_that_is_not_memory_is_not_swallowed(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Seq2Seq, "loss", broken)
    recipe = recipe_file("rnn")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        weft.train(recipe, say=quiet)
    assert not (recipe.parent / "runs").exists()  # for it failed in the trial of the longest batches


def spoil(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    gradient = Trainer.gradient

    def spoilt(self: Trainer, *given: Any) -> float:
        value = gradient(self, *given)
        return float("nan") if self.progress.step + 1 in steps else value

    monkeypatch.setattr(Trainer, "gradient", spoilt)


def test_a_step_without_a_number_is_skipped_and_counted(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file("rnn")
    spoil(monkeypatch, {3, 4, 7})
    trained = weft.train(recipe, say=quiet)
    assert all(parameter.isfinite().all() for parameter in trained.network.parameters())
    skips = records(recipe.parent / "runs/run", "skip")
    assert [skip["step"] for skip in skips] == [3, 4, 7] and "nan" in skips[0]["reason"]


def test_a_model_whose_loss_is_no_number_is_never_the_best(recipe_file: Write) -> None:
    recipe = recipe_file("rnn", steps=1, optimizer={"learning_rate": 1e30})
    with pytest.raises(WeftError, match=r"ended at step 1 \(1 step done\) without a model: at no validation"):
        weft.train(recipe, "validation.every=1", say=quiet)
    run = recipe.parent / "runs/run"
    assert [record["best"] for record in records(run, "validation")][-1:] == [False]
    assert not (run / "model.safetensors").exists()


def test_the_third_in_a_row_stops_with_the_batch(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file("rnn")
    spoil(monkeypatch, {12, 13, 14})
    with pytest.raises(WeftError, match="stopped at step 14: 3 steps in a row"):
        weft.train(recipe, say=quiet)
    dumped = [json.loads(line) for line in (recipe.parent / "runs/run/bad-batch.jsonl").read_text().splitlines()]
    assert dumped and set(dumped[0]) == {"row", "source", "target"}
    for pair in dumped:
        assert pair["source"] == pair["target"][::-1]


@pytest.mark.parametrize("model", ["rnn", "transformer"])
def test_what_the_model_says_may_be_no_number(recipe_file: Write, model: str) -> None:
    recipe = recipe_file(model, optimizer={"learning_rate": 1e30}, schedule={"warmup": 0})
    with pytest.raises(WeftError, match="3 steps in a row gave loss nan"):
        weft.train(recipe, "training.feeding={kind: free_running, choose: sample}", say=quiet)


def test_best_and_last_checkpoints_are_kept_and_the_run_is_its_best(recipe_file: Write) -> None:
    recipe = recipe_file("lstm", steps=60, keep_last=2, keep_best=2)
    weft.train(recipe, "validation.every=5", say=quiet)
    run = recipe.parent / "runs/run"
    validations = records(run, "validation")
    losses = {record["step"]: record["loss"] for record in validations}
    best = sorted(losses, key=lambda step: losses[step])[:2]
    kept = checkpoints(run)
    assert {one.step for one in kept} == {*best, *sorted(losses)[-2:]}
    model = read_tensors(run / "model.safetensors")
    of_best = read_tensors(next(one.path for one in kept if one.step == best[0]))
    assert all(torch.equal(model[name], of_best[name]) for name in model)


def test_the_last_step_is_known_after_one_epoch(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "REPORT_EVERY", 5)
    recipe = recipe_file("rnn", steps=1000, epochs=3)
    weft.train(recipe, say=quiet)
    run = recipe.parent / "runs/run"
    (end,) = records(run, "end")
    said = {record["epoch"]: record["last_step"] for record in records(run, "train")}
    assert said[0] == 1000 and said[2] == pytest.approx(end["step"], rel=0.1)


def test_minutes_bound_the_last_step(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "REPORT_EVERY", 5)
    recipe = recipe_file("rnn", steps=10**9, minutes=0.02)
    weft.train(recipe, say=quiet)
    told = records(recipe.parent / "runs/run", "train")
    assert all(record["step"] <= record["last_step"] < 10**6 for record in told)


def test_patience_ends_the_run(recipe_file: Write) -> None:
    recipe = recipe_file("lstm", steps=400, optimizer={"learning_rate": 1e-9})
    weft.train(recipe, "validation.every=2", "validation.patience=3", "validation.metric=line_error_rate", say=quiet)
    (end,) = records(recipe.parent / "runs/run", "end")
    assert end["step"] == 8 and "no better line_error_rate in 3 validations" in end["reason"]


def test_averaging_is_the_mean_of_the_checkpoints(recipe_file: Write, tmp_path: Path) -> None:
    from weft.training.average import average

    recipe = recipe_file("rnn")
    weft.train(recipe, say=quiet)
    run = recipe.parent / "runs/run"
    chosen = average(run, "last", 3, tmp_path / "mean")
    mean = read_tensors(tmp_path / "mean/model.safetensors")
    parts = [read_tensors(one.path) for one in chosen]
    assert len(parts) == 3
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, torch.stack([part[name] for part in parts]).mean(0))
    assert weft.load(tmp_path / "mean").predict(["a b"])[0].finish_reason in ("end", "length")
    own, card = ((folder / "card.md").read_text() for folder in (run, tmp_path / "mean"))
    assert "- best loss on the development set: " in own and "best loss" not in card
    assert "- the average of the last 3 checkpoints of run, not scored yet" in card
    assert "weft predict run < lines.txt" in own and "weft predict mean < lines.txt" in card
    with pytest.raises(WeftError, match="is there already"):
        average(run, "last", 3, tmp_path / "mean")
    with pytest.raises(WeftError, match="keeps the 5 best checkpoints, not 9"):
        average(run, "best", 9, tmp_path / "other")


@pytest.mark.parametrize("precision", ["bf16_products", "bf16"])
def test_lower_precision_learns_too(recipe_file: Write, precision: str) -> None:
    recipe = recipe_file("transformer", steps=120, precision=precision)
    weft.train(recipe, "validation.every=60", say=quiet)
    first, last = (record["loss"] for record in records(recipe.parent / "runs/run", "validation"))
    assert last < first < 2.5


def test_the_model_can_be_moved(recipe_file: Write, tmp_path: Path) -> None:
    recipe = recipe_file("rnn")
    trained = weft.train(recipe, say=quiet)
    before = trained.predict(["a b c"])[0]
    moved = tmp_path / "elsewhere/model"
    moved.parent.mkdir()
    (recipe.parent / "runs/run").rename(moved)
    (recipe.parent / "pairs.tsv").unlink()
    assert weft.load(moved).predict(["a b c"])[0] == before


def test_nothing_is_pickled(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    weft.train(recipe, say=quiet)
    suffixes = {file.suffix for file in (recipe.parent / "runs/run").rglob("*") if file.is_file()}
    assert not suffixes & {".pt", ".pth", ".pkl", ".bin", ".ckpt"}


def test_what_was_learnt_since_the_last_validation_is_scored(recipe_file: Write) -> None:
    recipe = recipe_file("rnn", steps=11)
    weft.train(recipe, say=quiet)
    assert [record["step"] for record in records(recipe.parent / "runs/run", "validation")] == [8, 11]


def test_a_score_that_is_no_number_is_the_worst(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file("rnn")
    scores = iter([float("nan"), 2.0, 1.0])
    monkeypatch.setattr(validation, "mean_loss", lambda *_: next(scores))
    monkeypatch.setattr(validation.Validation, "try_out", lambda _self: None)
    weft.train(recipe, say=quiet)
    assert [record["best"] for record in records(recipe.parent / "runs/run", "validation")] == [False, True, True]


@pytest.mark.parametrize("autocast", [False, True])
def test_validation_makes_no_gradient(autocast: bool) -> None:
    output = SoftmaxOutput(8, 11)
    gold = pad([[1, 2, 3], [4]])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        features = torch.randn(2, 3, 8)
        with torch.no_grad():
            quiet_loss, _ = output.loss(features, gold, 0.1)
        loss, count = output.loss(features, gold, 0.1)
    assert not quiet_loss.requires_grad and loss.requires_grad and int(count) == 4
    assert loss.dtype == torch.float32
    torch.testing.assert_close(quiet_loss, loss.detach())


def test_validation_searches_plainly_whatever_the_recipes_search_is(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    search = "search={kind: diverse, beam: 4, groups: 2, minimum_bayes_risk: 0}"
    weft.train(recipe, search, say=quiet)
    assert records(recipe.parent / "runs/run", "validation")


def test_a_run_outlives_its_terminal(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    recipe = recipe_file("rnn", steps=3)
    monkeypatch.setattr(sys, "stderr", Closed())
    weft.train(recipe)
    run = recipe.parent / "runs/run"
    assert [record["step"] for record in records(run, "end")] == [3] and (run / "card.md").is_file()


def test_a_file_elsewhere_that_is_gone_is_named(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Trainer) -> None:
        Path("elsewhere.bin").read_bytes()

    monkeypatch.setattr(Trainer, "validate", missing)
    with pytest.raises(WeftError, match=r"^elsewhere.bin: No such file or directory$"):
        weft.train(recipe_file("rnn", steps=3), say=quiet)
