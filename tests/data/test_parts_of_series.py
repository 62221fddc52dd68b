"""Parts, windows and the scaler of a series: what is learnt of which rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from series import daily_cycles, settings, write_csv

from weft.data.scaler import Scaler
from weft.data.series import origins, prepare_series, series_of
from weft.data.windows import Windows
from weft.errors import WeftError
from weft.recipe import Recipe, checked


def recipe(folder: Path, **series: Any) -> Recipe:
    return checked(settings(folder, **series), "test")


def test_the_scaler_sees_the_training_part_alone(tmp_path: Path) -> None:
    values = daily_cycles(200)
    values[120:] *= 7
    write_csv(tmp_path / "series.csv", values)
    scaler = prepare_series(recipe(tmp_path)).scaler
    np.testing.assert_allclose(scaler.mean, values[:120].mean(0), atol=1e-4)
    np.testing.assert_allclose(scaler.deviation, values[:120].std(0), atol=1e-4)
    scaler.save(tmp_path / "scaler.json")
    assert Scaler.load(tmp_path / "scaler.json") == scaler


def test_every_window_is_there_and_looks_back_into_the_part_before(tmp_path: Path) -> None:
    write_csv(tmp_path / "series.csv", daily_cycles(210))
    of_file = recipe(tmp_path)
    data = prepare_series(of_file)
    assert data.counts.windows == {"train": 120 - 16 - 8 + 1, "dev": 40 - 8 + 1, "test": 40 - 8 + 1}
    assert data.counts.unused == 10
    dev = origins(data.dev, series_of(of_file), 1)
    assert (dev[0], dev[-1]) == (120, 160 - 8)
    batch = Windows(data.series, dev, series_of(of_file), 1, 256, 1).batch(np.array([0, 32]))
    values = data.series.values
    np.testing.assert_array_equal(batch.source.data[0], values[104:120])
    np.testing.assert_array_equal(batch.gold.data[1], values[152:160])
    np.testing.assert_array_equal(batch.fed.data[1], values[151:159])


def test_an_epoch_has_every_window_once_in_batches_of_so_many_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "series.csv", daily_cycles(200))
    of_file = recipe(tmp_path)
    data = prepare_series(of_file)
    windows = Windows(data.series, origins(data.train, series_of(of_file), 1), series_of(of_file), 1, 256, 1)
    batches = windows.order.epoch(3)
    assert max(map(len, batches)) == 256 // 16
    assert sorted(np.concatenate(batches).tolist()) == list(range(97))


def test_strides_thin_out_training_alone(tmp_path: Path) -> None:
    write_csv(tmp_path / "series.csv", daily_cycles(200))
    assert prepare_series(recipe(tmp_path, stride=10)).counts.windows == {"train": 10, "dev": 33, "test": 33}


def test_a_split_in_parts_of_one_is_one_in_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "series.csv", daily_cycles(200))
    parts = prepare_series(recipe(tmp_path, split=[0.6, 0.2, 0.2]))
    rows = prepare_series(recipe(tmp_path))
    assert (parts.train, parts.dev, parts.test) == (rows.train, rows.dev, rows.test)


def test_known_columns_and_calendar_stand_beside_the_values(tmp_path: Path) -> None:
    write_csv(tmp_path / "series.csv", daily_cycles(200))
    data = prepare_series(recipe(tmp_path, known=["b"], calendar=["hour", "weekday"]))
    assert data.scaler.columns == ["a"]
    assert data.series.values.shape == (200, 1)
    assert data.series.known.shape == (200, 1 + 4)


def spoil(cell: str, line: int) -> Any:
    def change(lines: list[str]) -> None:
        first, _, rest = lines[line - 1].split(",")
        lines[line - 1] = ",".join([first, cell, rest])

    return change


@pytest.mark.parametrize(
    ("change", "series", "message"),
    [
        (spoil("x", 30), {}, "series.csv:30: column 'a' is 'x'; expected a number"),
        (None, {"horizon": 300}, "the train part has 120 rows, but one window needs 316"),
        (None, {"horizon": 50}, "the dev part has 40 rows, but one window needs 50"),
        (None, {"split": [150, 40, 40]}, "data.series.split asks for 230 rows, but there are 200"),
        (None, {"columns": ["a", "c"]}, "series.csv:1: no column 'c'; the columns are 'date', 'a', 'b'"),
        (None, {"columns": ["a"], "known": ["a"]}, "names the column 'a' twice"),
        (None, {"known": ["a", "b"]}, "every column is known ahead"),
        (None, {"time": None, "calendar": ["hour"]}, "needs data.series.time"),
        (None, {"time": None}, "series.csv:2: column 'date' is '2024-01-01 00:00:00'; expected a number"),
        (spoil("", 7), {"known": ["a"]}, "series.csv:7: column 'a' is empty, but data.series.known says"),
    ],
)
def test_what_cannot_be_forecast_is_told(tmp_path: Path, change: Any, series: dict[str, Any], message: str) -> None:
    write_csv(tmp_path / "series.csv", daily_cycles(200), change)
    with pytest.raises(WeftError) as caught:
        prepare_series(recipe(tmp_path, **series))
    assert message in str(caught.value)


@pytest.mark.parametrize(("value", "message"), [(3.0, "is 3 in all of the training part"), (np.nan, "has no value in")])
def test_a_column_with_nothing_to_learn_is_told(tmp_path: Path, value: float, message: str) -> None:
    values = daily_cycles(200)
    values[:120, 1] = value
    write_csv(tmp_path / "series.csv", values)
    with pytest.raises(WeftError, match="column 'b'") as caught:
        prepare_series(recipe(tmp_path))
    assert message in str(caught.value)
