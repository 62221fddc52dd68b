"""Training on series: it learns, it goes on exactly, and it refuses what has no part in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from series import DIRECT, RECURRENT, daily_cycles, settings, write_csv, write_recipe
from test_resume import quiet, tensors

import weft
from weft.errors import WeftError
from weft.tasks.series import SeriesModel
from weft.training.average import average
from weft.training.forecasting import OwnValues, sparklines
from weft.training.preset_series import date_column
from weft.training.trainer import Trainer

SAMPLED = {"kind": "scheduled_sampling", "decay": "linear", "over": 10, "least": 0.3}


def trained(folder: Path, model: dict[str, Any] = DIRECT, *overrides: str, **series: Any) -> SeriesModel:
    values = daily_cycles(200)
    values[[30, 31, 90, 170], [0, 1, 1, 0]] = np.nan
    write_csv(folder / "series.csv", values)
    model_of_series = weft.train(write_recipe(folder, settings(folder, model, **series)), *overrides, say=quiet)
    assert isinstance(model_of_series, SeriesModel)
    return model_of_series


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        (DIRECT, []),
        (RECURRENT | {"output": {"kind": "values", "loss": "huber", "patch": 4}}, []),
        (
            RECURRENT | {"decoder": {"kind": "rnn", "width": 12, "attention": None}},
            ["training.feeding.kind=free_running"],
        ),
        (RECURRENT | {"encoder": {"kind": "conv", "width": 12, "layers": 1}, "decoder": {"kind": "direct"}}, []),
        (
            RECURRENT | {"encoder": {"kind": "transformer", "heads": 2, "layers": 1, "feed_forward": 16}},
            ["data.series.calendar=[hour]"],
        ),
    ],
)
def test_it_learns_what_repeats(tmp_path: Path, model: dict[str, Any], overrides: list[str]) -> None:
    found = trained(tmp_path, model, "training.steps=120", "validation.every=40", "training.save_every=500", *overrides)
    series, part, _ = found.test_part()
    errors = found.compare(series, part)
    assert errors.windows == 33
    assert errors.model.mse < 0.25 * errors.last.mse
    assert errors.seasonal is not None and errors.seasonal.mse < 0.1 * errors.last.mse


@pytest.mark.parametrize("decoder", [RECURRENT["decoder"], {"kind": "transformer", "heads": 2, "layers": 1}])
def test_a_run_that_was_cut_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: dict[str, Any]
) -> None:
    model = RECURRENT | {"decoder": decoder, "input": {"kind": "values", "dropout": 0.2, "normalize": "standard"}}
    feeding = f"training.feeding={json.dumps(SAMPLED)}"
    trained(tmp_path, model, "name=whole", feeding)
    update, seen = Trainer.update, 0

    def dying(self: Trainer, *arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == 14:
            raise KeyboardInterrupt
        update(self, *arguments)

    monkeypatch.setattr(Trainer, "update", dying)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, model, "name=cut", feeding)
    monkeypatch.setattr(Trainer, "update", update)
    trained(tmp_path, model, "name=cut", feeding)
    assert tensors(tmp_path / "runs/cut") == tensors(tmp_path / "runs/whole")


def test_memory_that_runs_out_changes_no_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path, DIRECT, "name=whole", "training.steps=4")
    accumulated, often = Trainer.accumulated, 0

    def full(self: Trainer, *arguments: Any) -> float:
        nonlocal often
        often += 1
        if often == 3:
            raise MemoryError
        return accumulated(self, *arguments)

    monkeypatch.setattr(Trainer, "accumulated", full)
    trained(tmp_path, DIRECT, "name=split", "training.steps=4")
    one, other = (weft.load(tmp_path / "runs" / name).network.state_dict() for name in ("whole", "split"))
    for name, weights in one.items():
        torch.testing.assert_close(other[name], weights)


def test_changed_data_is_told_before_a_run_goes_on(tmp_path: Path) -> None:
    trained(tmp_path)
    write_csv(tmp_path / "series.csv", daily_cycles(200, seed=2))
    with pytest.raises(WeftError, match="the data of this run has changed"):
        weft.train(tmp_path / "runs/run", "training.steps=30", say=quiet)


def test_steps_that_give_no_number_stop_the_run_and_name_their_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "gradient", lambda *_: float("nan"))
    with pytest.raises(WeftError, match=r"bad-batch\.jsonl"):
        trained(tmp_path)
    first = json.loads((tmp_path / "runs/run/bad-batch.jsonl").read_text().splitlines()[0])
    assert first["first_row"] == 17 + first["window"]
    assert first["time"].startswith("2024-01-")


def test_an_average_of_checkpoints_forecasts(tmp_path: Path) -> None:
    trained(tmp_path)
    average(tmp_path / "runs/run", "last", 2, tmp_path / "mean")
    forecast = weft.load(tmp_path / "mean").predict(tmp_path / "series.csv")
    assert np.isfinite(forecast.values).all()


def test_samples_of_a_validation_are_bars_of_one_scale(tmp_path: Path) -> None:
    assert sparklines([torch.tensor([0.0, 4.0]), torch.tensor([8.0, torch.nan])]) == ["▁▅", "█ "]
    trained(tmp_path)
    log = [json.loads(line) for line in (tmp_path / "runs/run/log.jsonl").read_text().splitlines()]
    validation = next(record for record in log if record["event"] == "validation")
    assert len(validation["samples"]) == 3
    assert [len(validation["samples"][0][key]) for key in ("source", "target", "output")] == [16, 8, 8]


def test_scheduled_sampling_takes_steps_whole() -> None:
    said, true = torch.zeros(500, 3), torch.ones(500, 3)
    found = OwnValues(0.25).mixed(said, true)
    assert set(found.sum(1).tolist()) == {0.0, 3.0}
    assert 0.15 < found.mean() < 0.35


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.beam=3", "'search' is about text"),
        ("data.noise.drop=0.1", "'data.noise' is about text"),
        ("validation.metrics=[bleu]", "'validation.metrics' is about text"),
        ("validation.metric=bleu", "validation.metric is 'bleu'; for series it is loss, mse or mae"),
        ("training.feeding.kind=free_running", "a direct decoder is fed nothing"),
        ("model.decoder={kind: rnn}", "only model.decoder.kind: direct can forecast"),
        ("model.output={kind: tokens}", "model.input.kind is values and model.output.kind tokens"),
        ("model.input={kind: tokens}", "model.input.kind is tokens and model.output.kind values"),
        ("data.series=null", "model.input.kind is values, which are those of data.series"),
        ("model.input.patch=4", "model.input.patch is of what an encoder reads"),
        ("model.output.patch=4", "a direct one says all rows at once"),
        ("model.output.quantiles=[0.1, 0.9]", "0.5 too"),
        ("data.series.split=[0.9, 0.1, 0.2]", "whose sum is at most 1"),
        ("data.series.split=[100.5, 10, 10]", "whole numbers of rows"),
        ("model.embedding.dropout=0.1", "about tokens"),
    ],
)
def test_settings_that_do_not_fit_a_series_are_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(WeftError) as caught:
        trained(tmp_path, DIRECT, override)
    assert message in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("day,x\n2024-01-01,1\n2024-01-02,\n", "day"),
        ("x,day,y\n1,2024-01-01,2\n", "day"),
        ("2024-01-01,1\n2024-01-02,2\n", None),
        ("day,x\n2024-01-01,one\n", None),
        ("x,y\n1,2\n", None),
        ("from,to\n2024-01-01,2024-01-02\n", None),
        ("day,x\n2024-01-01\n", None),
        ("", None),
    ],
)
def test_a_series_has_one_column_of_dates_beside_numbers(tmp_path: Path, text: str, column: str | None) -> None:
    (tmp_path / "s.csv").write_text(text)
    (tmp_path / "s.txt").write_text(text)
    assert date_column(str(tmp_path / "s.csv")) == column
    assert date_column(str(tmp_path / "s.txt")) is None


def test_a_file_of_numbers_with_dates_needs_no_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "series.csv", daily_cycles(400))
    told: list[str] = []
    found = weft.train("series.csv", "training.steps=100", "training.device=cpu", say=told.append)
    assert isinstance(found, SeriesModel)
    assert "400 rows of numbers with dates in 'date': a series" in told[0]
    assert (found.settings.look_back, found.settings.horizon) == (100, 8)
    series, part, _ = found.test_part()
    errors = found.compare(series, part)
    assert errors.model.mse < 0.1 * errors.last.mse
    shutil.rmtree("runs")
