"""Numbers to numbers: a series in, the rows that follow out.

B windows, T rows ahead, C columns, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import weft.models.device
import weft.recipe
from weft.data import calendar
from weft.data.batch import Rows
from weft.data.scaler import Floats, Scaler
from weft.data.series import Part, Scaled, origins, prepare_series, scaled, series_of
from weft.data.table import Table, read_table, table_of_columns
from weft.data.windows import Windows
from weft.errors import WeftError, counted
from weft.metrics.forecast import Errors
from weft.models import directory
from weft.models.forecaster import Forecaster, Shape
from weft.models.mode import answering
from weft.recipe import Recipe, ValuesOutput
from weft.tasks.forecast import Forecast

POSITIONS = 200_000  # rows of all windows that are forecast at once


@dataclass(frozen=True)
class Comparison:
    """Errors of the model, and of forecasts that cost nothing."""

    windows: int
    model: Errors
    last: Errors  # the last value, repeated
    seasonal: Errors | None  # the last season, repeated; None where there is no season

    def rows(self) -> list[tuple[str, Errors]]:
        found = [("model", self.model), ("repeat last", self.last)]
        return found if self.seasonal is None else [*found, ("repeat season", self.seasonal)]


class SeriesModel:
    """A trained forecaster with its scaler: what `weft.load` gives for a run whose recipe has `data.series`."""

    def __init__(self, recipe: Recipe, network: Forecaster, scaler: Scaler) -> None:
        self.recipe = recipe
        self.network = network
        self.scaler = scaler
        self.settings = series_of(recipe)
        assert isinstance(recipe.model.output, ValuesOutput)
        self.patch = recipe.model.output.patch

    @classmethod
    def fresh(cls, recipe: Recipe, scaler: Scaler) -> SeriesModel:
        """With random weights."""
        settings = series_of(recipe)
        known = len(scaler.known) + 2 * len(settings.calendar)
        shape = Shape(len(scaler.columns), known, settings.look_back, settings.horizon, scaler.missing)
        return cls(recipe, Forecaster(recipe.model, shape), scaler)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def predict(self, series: str | Path | Mapping[str, Iterable[Any]]) -> Forecast:
        """The `horizon` rows that follow a CSV, TSV or Parquet file, or columns in memory such as a data frame's.

        Rows at the end whose forecast columns are all empty are the future: columns that are known ahead are taken
        from them. Raises WeftError for fewer rows than the model looks back at, and where a future is needed and not
        there.
        """
        table = self.table(series)
        values = table.of(self.scaler.columns)
        filled = np.flatnonzero(~np.isnan(values).all(1))
        rows = int(filled[-1]) + 1 if filled.size else 0
        settings = self.settings
        if rows < settings.look_back:
            raise WeftError(
                f"{table.name}: {counted(rows, 'row')} found, but the model looks back at {settings.look_back}"
            )
        table = self.continued(table, rows)
        window = scaled(table, self.scaler, settings)
        found = self.forecasts(Windows(window, np.array([rows]), settings, self.patch, 1, 0), np.zeros(1, np.int64))
        numbers = self.scaler.unscaled(np.moveaxis(found[0], -1, 0))  # (Q,T,C)
        levels = self.network.quantiles
        ahead = slice(rows, rows + settings.horizon)
        return Forecast(
            self.scaler.columns,
            [str(n + 1) for n in range(settings.horizon)]
            if table.times is None
            else calendar.written(table.times[ahead]),
            settings.time or "row",
            numbers[levels.index(0.5)],
            {level: numbers[place] for place, level in enumerate(levels) if level != 0.5},
        )

    def table(self, series: str | Path | Mapping[str, Iterable[Any]]) -> Table:
        wanted = [*self.scaler.columns, *self.scaler.known]
        if isinstance(series, str | Path):
            return read_table(str(series), self.settings.time, wanted)
        if not isinstance(series, Mapping) and not hasattr(series, "columns"):
            raise WeftError(f"the series is a {type(series).__name__}; expected a file or columns by their names")
        return table_of_columns(
            "the series", {str(key): list(series[key]) for key in series}, self.settings.time, wanted
        )

    def continued(self, table: Table, rows: int) -> Table:
        """The table with `horizon` rows after the first `rows`: those that it has, then empty ones."""
        horizon, there = self.settings.horizon, len(table) - rows
        if self.scaler.known and there < horizon:
            raise WeftError(
                f"{table.name}: {counted(there, 'row')} after the last one with a value, but the forecast needs "
                f"{', '.join(self.scaler.known)} of {horizon}: add rows whose other columns are empty"
            )
        lacking = max(0, horizon - there)
        values = np.concatenate([table.values, np.full((lacking, len(table.columns)), np.nan)])[: rows + horizon]
        times = table.times
        if times is not None:
            times = np.concatenate([times, calendar.after(times, lacking)])[: rows + horizon]
        return Table(table.name, table.columns, values, times, table.first_line)

    @torch.no_grad()
    def forecasts(self, windows: Windows, rows: Rows) -> Floats:
        """(B,T,C,Q) in the scale of the training part."""
        with answering(self.network):
            batch = windows.batch(rows).to(self.device)
            found = self.network.forecast(batch.source, batch.fed).float().cpu().numpy()
        return np.asarray(found)

    def windows(self, series: Scaled, part: Part) -> Windows:
        """All windows of a part, one at each row."""
        starts = origins(part, self.settings, 1)
        return Windows(series, starts, self.settings, self.patch, 1, 0)

    def blocks(self, windows: Windows, rows: Rows) -> Iterator[Rows]:
        size = max(1, POSITIONS // (max(windows.look_back, windows.horizon) * len(self.scaler.columns)))
        for begin in range(0, len(rows), size):
            yield rows[begin : begin + size]

    def compare(self, series: Scaled, part: Part) -> Comparison:
        """Errors in the scale of the training part over every window of a part; WeftError where it has none."""
        windows = self.windows(series, part)
        if not len(windows):
            raise WeftError(
                f"the {part.name} part has {counted(part.end - part.begin, 'row')}, too few for one window: "
                f"data.series.horizon is {windows.horizon}, look_back {windows.look_back}"
            )
        columns, levels = len(self.scaler.columns), self.network.quantiles
        shape = (windows.horizon, columns)
        model, last = Errors.none(*shape, interval=len(levels) > 1), Errors.none(*shape)
        season = self.scaler.season
        seasonal = None if season is None else Errors.none(*shape)
        for rows in self.blocks(windows, np.arange(len(windows))):
            gold = windows.batch(rows).gold.data.numpy()
            found = self.forecasts(windows, rows)
            ends = (found[..., 0], found[..., -1]) if len(levels) > 1 else None
            model.add(found[..., levels.index(0.5)], gold, ends)
            starts = windows.starts[rows]
            last.add(repeated(series.values, starts, windows.horizon, 1), gold)
            if seasonal is not None and season is not None:
                seasonal.add(repeated(series.values, starts, windows.horizon, season), gold)
        return Comparison(len(windows), model, last, seasonal)

    def test_part(self, file: str | None = None) -> tuple[Scaled, Part, Table | None]:
        """The test part of the recipe's file, or the whole of another file."""
        if file is None:
            data = prepare_series(self.recipe)
            return data.series, data.test, None
        table = self.table(file)
        return scaled(table, self.scaler, self.settings), Part(file, 0, len(table)), table


def repeated(values: Floats, starts: Rows, horizon: int, season: int) -> NDArray[np.float32]:
    """(B,T,C): the last `season` rows before each start, again and again; NaN where there are fewer."""
    rows = starts[:, None] - season + np.arange(horizon) % season
    found = values[np.maximum(rows, 0)]
    return np.where((rows < 0)[..., None], np.float32(np.nan), found)


def load(folder: str | Path, device: str = "cpu") -> SeriesModel:
    """The forecaster in a directory that `weft train` made; WeftError where a file is missing or damaged."""
    path = Path(folder)
    recipe = weft.recipe.load(path / directory.RECIPE)
    directory.check_weights(path)
    model = SeriesModel.fresh(recipe, Scaler.load(path / directory.SCALER))
    directory.read_weights(model.network, path / directory.WEIGHTS)
    model.network.to(weft.models.device.device(device)).eval()
    return model
