"""A series as a model takes it: one array in memory, scaled by its training part, and where its parts lie."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from weft.data import calendar
from weft.data.cache import concerning, contents
from weft.data.lines import STDIN
from weft.data.read import names
from weft.data.scaler import Floats, Scaler, fitted
from weft.data.table import Table, Times, read_table
from weft.errors import WeftError, counted
from weft.recipe import Recipe, Series


@dataclass(frozen=True)
class Scaled:
    """R rows of C columns to forecast and K known ahead (columns of the file, then calendar); NaN is missing."""

    values: Floats  # (R,C)
    known: Floats  # (R,K), none missing
    times: Times | None  # (R,)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Part:
    """Rows of the series in which whole forecasts lie; `name` is that of the recipe."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class SeriesCounts:
    """What became of the rows."""

    rows: int
    columns: int
    missing: int  # cells
    gaps: int  # rows farther from the one before than usual
    windows: dict[str, int] = field(default_factory=dict)  # of each part
    unused: int = 0  # rows after the test part

    def report(self) -> list[str]:
        told = [f"{part} {counted(number, 'window')}" for part, number in self.windows.items()]
        lines = [f"{counted(self.rows, 'row')} of {counted(self.columns, 'column')}; {', '.join(told)}"]
        if self.missing:
            lines.append(f"{counted(self.missing, 'value is', 'values are')} missing, and masked")
        if self.gaps:
            were = counted(self.gaps, "gap")
            lines.append(f"{were} between dates; rows are taken as equally far apart all the same")
        if self.unused:
            lines.append(f"{counted(self.unused, 'row')} after the test part not used (data.series.split)")
        return lines


@dataclass(frozen=True)
class PreparedSeries:
    series: Scaled
    scaler: Scaler
    train: Part
    dev: Part
    test: Part
    counts: SeriesCounts
    fingerprint: str  # of the file's content and of the settings that shaped it


def prepare_series(recipe: Recipe) -> PreparedSeries:
    """The recipe's series; WeftError for a file that cannot be read and for parts too short for one window."""
    settings = series_of(recipe)
    files = names(recipe.data.train)
    if len(files) != 1 or files[0] == STDIN:
        raise WeftError(f"data.train is {', '.join(files)}; expected one file that holds the series")
    with concerning("data.train"):
        content = next(contents(files[0]))
        table = read_table(files[0], settings.time, asked(settings))
        columns = settings.columns or [name for name in table.columns if name not in settings.known]
        if not columns:
            raise WeftError(f"{files[0]}:1: every column is known ahead, so there is nothing to forecast")
        train, dev, test = parts(settings, len(table))
        season = settings.season or (None if table.times is None else calendar.season(table.times))
        scaler = fitted(table, columns, settings.known, train.end, season)
        series = scaled(table, scaler, settings)
        windows = {part.name: len(origins(part, settings, 1)) for part in (train, dev, test)}
        check_room(files[0], settings, (train, dev, test), windows)
    windows["train"] = len(origins(train, settings, settings.stride))
    shape = [content, settings.model_dump(mode="json")]
    counts = SeriesCounts(
        len(table),
        len(columns),
        int(np.isnan(series.values).sum()),
        0 if table.times is None else calendar.gaps(table.times),
        windows,
        len(table) - test.end,
    )
    fingerprint = blake2b(json.dumps(shape, sort_keys=True).encode(), digest_size=16).hexdigest()
    return PreparedSeries(series, scaler, train, dev, test, counts, fingerprint)


def series_of(recipe: Recipe) -> Series:
    assert recipe.data.series is not None
    return recipe.data.series


def asked(settings: Series) -> list[str]:
    """The columns to read; none means all."""
    return [*settings.columns, *settings.known] if settings.columns else []


def scaled(table: Table, scaler: Scaler, settings: Series) -> Scaled:
    """WeftError where what should be known ahead is missing."""
    both = scaler.scaled(table)
    count = len(scaler.columns)
    known = both[:, count:]
    if (holes := np.argwhere(np.isnan(known))).size:
        row, column = holes[0].tolist()
        raise WeftError(
            f"{table.place(row)}: column '{scaler.known[column]}' is empty, but data.series.known says that it is known"
        )
    if settings.calendar:
        assert table.times is not None
        dates = calendar.features(table.times, settings.calendar).astype(np.float32)
        known = np.concatenate([known, dates], 1)
    return Scaled(np.ascontiguousarray(both[:, :count]), known, table.times)


def parts(settings: Series, rows: int) -> tuple[Part, Part, Part]:
    """Training, development and test part of so many rows; WeftError where they are more than there are."""
    split = settings.split
    ends = np.cumsum(split)
    bounds = [0, *(np.round(ends * rows) if split[0] <= 1 else ends).astype(int).tolist()]
    if bounds[-1] > rows:
        raise WeftError(f"data.series.split asks for {bounds[-1]:,} rows, but there are {rows:,}")
    train, dev, test = (
        Part(name, begin, end) for name, begin, end in zip(("train", "dev", "test"), bounds, bounds[1:], strict=False)
    )
    return train, dev, test


def origins(part: Part, settings: Series, stride: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The first forecast row of every window: forecasts lie within the part, what they look back at may lie before."""
    return np.arange(max(part.begin, settings.look_back), part.end - settings.horizon + 1, stride, dtype=np.int64)


def check_room(name: str, settings: Series, given: tuple[Part, ...], windows: dict[str, int]) -> None:
    for part in given:
        length = part.end - part.begin
        if windows[part.name] or (part.name == "test" and not length):
            continue
        needed = settings.horizon + max(0, settings.look_back - part.begin)
        raise WeftError(
            f"{name}: the {part.name} part has {counted(length, 'row')}, but one window needs {needed:,}: "
            f"data.series.look_back is {settings.look_back} and horizon {settings.horizon}"
        )
