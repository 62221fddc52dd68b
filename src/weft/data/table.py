"""A table of numbers over time, from CSV, TSV or Parquet; errors name the file, the line and the column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.data.cells import short
from weft.data.lines import COMPRESSED, STDIN, read_lines, reading
from weft.data.read import Row, csv_rows, suffix_of, tsv_rows
from weft.errors import WeftError, counted, nearest

Numbers = NDArray[np.float64]
Times = NDArray[np.datetime64]
MISSING = {"", "na", "nan", "n/a", "null", "none"}  # how an empty cell may be written
FORMATS = ".csv, .tsv (each also .gz, .zst, .xz) and .parquet"


@dataclass(frozen=True)
class Table:
    """R rows of named columns; a cell that is missing is NaN."""

    name: str  # of the file, for messages
    columns: list[str]
    values: Numbers  # (R,columns)
    times: Times | None  # (R,), rising
    first_line: int  # the line of the file on which the first row stands

    def of(self, columns: Sequence[str]) -> Numbers:
        """(R,len(columns))"""
        return self.values[:, [self.columns.index(column) for column in columns]]

    def place(self, row: int) -> str:
        """Where a row stands, for messages; exact where no cell holds a line break."""
        return f"{self.name}:{self.first_line + row}"

    def __len__(self) -> int:
        return len(self.values)


def read_table(name: str, time: str | None, columns: Sequence[str] = ()) -> Table:
    """The columns with these names, or without any all but `time`; the first line of CSV and TSV names them.

    An empty cell, NA, NaN and null are missing values. Raises WeftError, with line and column, for a cell that is no
    number or no date, for dates that do not rise, and for a column that is not there.
    """
    suffix = suffix_of(name)
    if suffix == ".parquet" and not name.endswith(COMPRESSED):
        return parquet_table(name, time, columns)
    if suffix not in (".csv", ".tsv") and name != STDIN:
        raise WeftError(f"{name}: not known to hold a series; supported are {FORMATS}")
    lines = read_lines(name)
    rows = tsv_rows(lines) if suffix == ".tsv" else csv_rows(name, lines)
    _, header = next(rows, (1, []))
    if not header:
        raise WeftError(f"{name}: it is empty; expected a first line with the names of the columns")
    if all(is_number(cell) for cell in header):
        raise WeftError(f"{name}:1: the first line names the columns, but all that stands there is numbers")
    wanted = chosen(name, header, time, columns)
    return table_of_rows(name, header, rows, time, wanted)


def table_of_rows(name: str, header: list[str], rows: Iterator[Row], time: str | None, wanted: list[str]) -> Table:
    places = [header.index(column) for column in wanted]
    clock = None if time is None else header.index(time)
    values: list[list[float]] = []
    times: list[datetime] = []
    first_line = 2
    for number, row in rows:
        if not any(row):
            continue
        if len(row) != len(header):
            raise WeftError(f"{name}:{number}: {counted(len(row), 'column')} found, {len(header)} expected")
        first_line = number if not values else first_line
        values.append([number_of(row[place], name, number, header[place]) for place in places])
        if clock is not None:
            times.append(time_of(row[clock], f"{name}:{number}: column '{time}'"))
            if len(times) > 1 and times[-1] <= times[-2]:
                raise WeftError(
                    f"{name}:{number}: column '{time}' is {row[clock]!r}, which is not after the row before"
                )
    return Table(
        name,
        wanted,
        np.array(values, np.float64).reshape(-1, len(wanted)),
        None if clock is None else np.array(times, "datetime64[us]"),
        first_line,
    )


def parquet_table(name: str, time: str | None, columns: Sequence[str]) -> Table:
    import pyarrow
    import pyarrow.parquet

    with reading(name):
        try:
            table = pyarrow.parquet.read_table(name, memory_map=True)
        except pyarrow.ArrowInvalid as error:
            raise WeftError(f"{name}: not a Parquet file, or damaged: {error}") from None
    return table_of_columns(name, {key: table.column(key).to_pylist() for key in table.column_names}, time, columns)


def table_of_columns(
    name: str, given: Mapping[str, Iterable[Any]], time: str | None, columns: Sequence[str] = ()
) -> Table:
    """A table of columns in memory, such as those of a data frame; rows are counted from 1."""
    wanted = chosen(name, list(given), time, columns)
    columns_of = [
        [number_of(cell, name, row, column, " row ") for row, cell in enumerate(given[column], 1)] for column in wanted
    ]
    clock = [] if time is None else list(given[time])
    lengths = {len(column) for column in ([*columns_of, clock] if time is not None else columns_of)}
    if len(lengths) != 1:
        raise WeftError(f"{name}: the columns have {', '.join(map(str, sorted(lengths)))} rows; expected equally many")
    times = None
    if time is not None:
        found = [time_of(cell, f"{name}: row {row}: column '{time}'") for row, cell in enumerate(clock, 1)]
        times = np.array(found, "datetime64[us]")
        if (falls := np.flatnonzero(np.diff(times) <= np.timedelta64(0))).size:
            row = int(falls[0]) + 2
            raise WeftError(
                f"{name}: row {row}: column '{time}' is {times[row - 1]}, which is not after the row before"
            )
    return Table(name, wanted, np.array(columns_of, np.float64).T, times, 1)


def chosen(name: str, header: list[str], time: str | None, columns: Sequence[str]) -> list[str]:
    """The columns to read; WeftError for one that is not there or there twice."""
    for column in [*([] if time is None else [time]), *columns]:
        if column not in header:
            there = ", ".join(repr(other) for other in header)
            raise WeftError(f"{name}:1: no column '{column}'; the columns are {there}{nearest(column, header)}")
    wanted = list(columns) or [column for column in header if column != time]
    if twice := [column for column in wanted if header.count(column) > 1]:
        raise WeftError(f"{name}:1: the column '{twice[0]}' is there twice")
    if not wanted:
        raise WeftError(f"{name}:1: there is no column besides '{time}'")
    return wanted


def number_of(cell: Any, name: str, line: int, column: str, before: str = "") -> float:
    """The number in a cell, NaN where it is empty."""
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
        return math.nan
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.inf
    if math.isinf(value):
        raise WeftError(
            f"{name}:{before}{line}: column '{column}' is {short(cell)}; expected a number, or an empty cell for a "
            f"missing value"
        )
    return value


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def time_of(cell: Any, place: str) -> datetime:
    """A date, without its time zone: all are told in UTC where they have one."""
    try:
        found = datetime.fromisoformat(cell.strip()) if isinstance(cell, str) else of_date(cell)
    except (AttributeError, TypeError, ValueError):
        raise WeftError(f"{place} is {short(cell)}; expected a date such as 2016-07-01 or 2016-07-01 13:00") from None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def of_date(cell: Any) -> datetime:
    if hasattr(cell, "to_pydatetime"):
        cell = cell.to_pydatetime()
    elif isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)
    raise TypeError
