"""Forecasts of files and of columns in memory, in the units that they came in."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from series import DIRECT, RECURRENT, daily_cycles, settings, write_csv

from weft.data.scaler import Scaler
from weft.data.series import Part
from weft.errors import WeftError
from weft.models import directory
from weft.recipe import checked, dump
from weft.tasks.load import load
from weft.tasks.series import SeriesModel, repeated

QUANTILES = DIRECT | {"output": {"kind": "values", "loss": "quantile"}}


def model(folder: Path, kind: dict[str, Any] = DIRECT, **series: Any) -> SeriesModel:
    """With random weights, saved as a run leaves it and loaded again."""
    torch.manual_seed(1)
    recipe = checked(settings(folder, kind, **series), "test")
    known = series.get("known", [])
    columns = [column for column in "ab" if column not in known]
    fresh = SeriesModel.fresh(recipe, Scaler(columns, known, [10.0, 0.0], [2.0, 4.0], False, 8))
    run = folder / "run"
    run.mkdir()
    (run / directory.RECIPE).write_text(dump(recipe))
    fresh.scaler.save(run / directory.SCALER)
    directory.save_weights(fresh.network, run / directory.WEIGHTS)
    found = load(run)
    assert isinstance(found, SeriesModel)
    return found


def test_a_forecast_follows_the_file_in_its_units(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "s.csv", daily_cycles(20))
    found = model(tmp_path)
    with torch.no_grad():
        found.network.direct.projection.weight.zero_()
        found.network.direct.projection.bias.fill_(0.5)
    forecast = found.predict(file)
    assert forecast.columns == ["a", "b"]
    assert forecast.times[:2] == ["2024-01-03 12:00:00", "2024-01-03 15:00:00"]
    last = np.round(daily_cycles(20)[-1], 4)
    np.testing.assert_allclose(forecast.values, np.tile(last + 0.5 * np.array([2.0, 4.0]), (8, 1)), rtol=1e-5)
    rows = list(csv.reader(io.StringIO(str(forecast))))
    assert rows[0] == ["date", "a", "b"]
    assert len(rows) == 9


def test_columns_in_memory_are_forecast_as_the_file(tmp_path: Path) -> None:
    values = daily_cycles(30).round(4)
    file = write_csv(tmp_path / "s.csv", values)
    found = model(tmp_path, RECURRENT)
    dates = [line.split(",")[0] for line in file.read_text().splitlines()[1:]]
    of_memory = found.predict({"b": values[:, 1], "date": dates, "a": values[:, 0]})
    np.testing.assert_allclose(of_memory.values, found.predict(str(file)).values)
    assert of_memory.times == found.predict(file).times
    with pytest.raises(WeftError, match="the series is a list; expected a file or columns by their names"):
        found.predict([1, 2])  # type: ignore[arg-type]


def test_quantiles_are_columns_beside_the_forecast(tmp_path: Path) -> None:
    forecast = model(tmp_path, QUANTILES).predict(write_csv(tmp_path / "s.csv", daily_cycles(20)))
    assert forecast.header() == ["date", "a", "b", "a_0.1", "b_0.1", "a_0.9", "b_0.9"]
    assert [*forecast.quantiles] == [0.1, 0.9]
    assert next(iter(forecast.records()))["b_0.9"] == pytest.approx(forecast.quantiles[0.9][0, 1])


def test_what_is_known_ahead_is_taken_from_the_rows_after_the_last_value(tmp_path: Path) -> None:
    found = model(tmp_path, known=["b"])
    values = daily_cycles(28)
    values[20:, 0] = np.nan
    forecast = found.predict(write_csv(tmp_path / "s.csv", values))
    assert forecast.columns == ["a"]
    assert forecast.times[0] == "2024-01-03 12:00:00"
    values[24, 1] += 3
    other = found.predict(write_csv(tmp_path / "s.csv", values))
    assert (forecast.values[:, 0] != other.values[:, 0]).tolist() == [n == 4 for n in range(8)]


@pytest.mark.parametrize(
    ("rows", "known", "message"),
    [
        (15, [], "s.csv: 15 rows found, but the model looks back at 16"),
        (20, ["b"], "s.csv: 0 rows after the last one with a value, but the forecast needs b of 8"),
    ],
)
def test_too_few_rows_are_told(tmp_path: Path, rows: int, known: list[str], message: str) -> None:
    file = write_csv(tmp_path / "s.csv", daily_cycles(rows))
    with pytest.raises(WeftError) as caught:
        model(tmp_path, known=known).predict(file)
    assert message in str(caught.value)


def test_a_missing_scaler_is_told(tmp_path: Path) -> None:
    model(tmp_path)
    (tmp_path / "run" / directory.SCALER).write_text("{}")
    with pytest.raises(WeftError, match=r"scaler\.json: damaged"):
        load(tmp_path / "run")
    (tmp_path / "run" / directory.SCALER).unlink()
    with pytest.raises(WeftError, match=r"scaler\.json: no such file"):
        load(tmp_path / "run")


def test_baselines_repeat_what_was_last_there() -> None:
    values = np.arange(12, dtype=np.float32)[:, None]
    starts = np.array([2, 6])
    assert repeated(values, starts, 4, 1)[..., 0].tolist() == [[1, 1, 1, 1], [5, 5, 5, 5]]
    found = repeated(values, starts, 4, 3)[..., 0]
    assert found[1].tolist() == [3, 4, 5, 3]
    assert np.isnan(found[0, 0]) and found[0, 1:3].tolist() == [0, 1]


def test_a_comparison_takes_every_window_however_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = model(tmp_path)
    write_csv(tmp_path / "s.csv", daily_cycles(60))
    series, part, _ = found.test_part(str(tmp_path / "s.csv"))
    whole = found.compare(series, part)
    assert whole.windows == 60 - 16 - 8 + 1
    monkeypatch.setattr("weft.tasks.series.POSITIONS", 100)
    cut = found.compare(series, part)
    for one, other in zip(whole.rows(), cut.rows(), strict=True):
        assert one[1].mse == pytest.approx(other[1].mse)
    with pytest.raises(WeftError, match="too few for one window"):
        found.compare(series, Part("test", 50, 55))
