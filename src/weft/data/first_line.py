"""What the first lines of files are taken for, told where nobody has said it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from weft.data.cells import key_of, listed, place_of, short
from weft.data.images import idx_sizes
from weft.data.lines import once_only, read_lines
from weft.data.read import Row, csv_rows, expanded, reads_as_header, suffix_of, tsv_rows
from weft.errors import WeftError, counted
from weft.recipe import Columns, Files, Parallel, Recipe


@dataclass(frozen=True)
class FirstRow:
    """Both sides of a file's first row, and whether it is a header."""

    source: str
    target: str
    is_header: bool


def first_lines(given: Sequence[Files], columns: Columns, recipe: str = "") -> list[str]:
    """A line on each TSV or CSV file that begins with a header, and one on those that begin with a pair.

    One, too, on each JSONL or Parquet file that could have other sides than those taken. `recipe` is the file in which
    it can be said, for where the command line has no settings.
    """
    there = recipe and f" in {recipe}"
    sides = [
        f"{name}: the sides are {source!r} and {target!r}  (others: data.columns.source and data.columns.target{there})"
        for name, (source, target) in doubtful_sides(given, columns).items()
    ]
    if columns.headed is not None:
        return sides
    headers: list[str] = []
    pairs: list[str] = []
    for name, row in first_rows(given, columns).items():
        what = "a header" if row.is_header else "a pair"
        told = f"{name}: the first line is taken for {what}, {short(row.source)} and {short(row.target)}"
        (headers if row.is_header else pairs).append(told)
    lines = [f"{header}  (if it is a pair: data.columns.header=false{there})" for header in headers]
    if pairs:
        more = f", and that of {counted(len(pairs) - 1, 'more file')} too" if len(pairs) > 1 else ""
        lines.append(f"{pairs[0]}{more}  (if it names the columns: data.columns.header=true{there})")
    return lines + sides


def doubtful_sides(given: Sequence[Files], columns: Columns) -> dict[str, tuple[str, str]]:
    """The keys or columns taken of JSONL and Parquet files that have more than two, where nobody has said which.

    `source` and `target` are in no doubt.
    """
    found: dict[str, tuple[str, str]] = {}
    if (columns.source, columns.target, columns.turns) != (1, 2, None):
        return found
    for name in (name for some in given if not isinstance(some, Parallel) for name in expanded(some)):
        with suppress(WeftError, OSError, ValueError, RecursionError):
            taken = taken_sides(name)
            if taken is not None and taken != ("source", "target"):
                found[name] = taken
    return found


def taken_sides(name: str) -> tuple[str, str] | None:
    """The keys or columns 1 and 2 where there are more."""
    suffix = suffix_of(name)
    if suffix == ".parquet":
        import pyarrow.parquet

        header = pyarrow.parquet.read_schema(name).names
        return (header[0], header[1]) if len(header) > 2 else None
    if suffix != ".jsonl" or once_only(name):
        return None
    item = json.loads(next(filter(None, read_lines(name)), "{}"))
    if sum(isinstance(value, str) for value in item.values()) < 3:
        return None
    return key_of(1, item, name), key_of(2, item, name)


def first_rows(given: Sequence[Files], columns: Columns) -> dict[str, FirstRow]:
    """Those of the files that have rows of cells, by the files' names; what cannot be read is left to `read_pairs`."""
    found: dict[str, FirstRow] = {}
    for name in (name for some in given if not isinstance(some, Parallel) for name in expanded(some)):
        with suppress(WeftError):
            if row := first_row(name, columns):
                found[name] = row
    return found


def shaping(recipe: Recipe) -> dict[str, Any]:
    """Which first rows are headers, where the recipe does not name columns."""
    data = recipe.data
    if data.columns.named:
        return {}
    return {"headers": [row.is_header for row in first_rows(data.trained_on, data.columns).values()]}


def first_row(name: str, columns: Columns) -> FirstRow | None:
    rows = rows_of(name)
    first = None if rows is None else next(rows, None)
    if rows is None or first is None:
        return None
    cells = first[1]
    source, target = (place_of(listed(side)[0], cells, name) for side in (columns.source, columns.target))
    if len(cells) <= max(source, target):
        return None
    headed = columns.headed
    is_header = reads_as_header(cells, source, target, rows) if headed is None else headed
    return FirstRow(cells[source], cells[target], is_header)


def rows_of(name: str) -> Iterator[Row] | None:
    """The rows of a file that `read_pairs` reads as TSV or CSV, and can be read again."""
    suffix = suffix_of(name)
    if once_only(name) or suffix in (".jsonl", ".parquet"):
        return None
    if suffix == ".csv":
        return csv_rows(name, read_lines(name))
    if suffix != ".tsv" and (idx_sizes(name) is not None or "\t" not in next(read_lines(name), "")):
        return None
    return tsv_rows(read_lines(name))
