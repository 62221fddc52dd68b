"""What the first lines of files are taken for, told where nobody has said it."""

from __future__ import annotations

from collections.abc import Iterator

from weft.data.cells import listed, place_of, short
from weft.data.read import Row, begins_with_header, csv_rows, expanded, read_lines, suffix_of, tsv_rows
from weft.errors import counted
from weft.recipe import Columns, Data, Parallel


def first_lines(data: Data) -> list[str]:
    """A line on each TSV or CSV file that begins with a header, and one on those that begin with a pair."""
    if data.series is not None or data.columns.named or data.columns.header is not None:
        return []
    given = [data.train, *(mixed.train for mixed in data.also), *([] if data.dev is None else [data.dev])]
    files = [name for some in given if not isinstance(some, Parallel) for name in expanded(some)]
    headers: list[str] = []
    pairs: list[str] = []
    for name in dict.fromkeys(files):
        if found := first_row(name, data.columns):
            (source, target), names = found
            what = "a header" if names else "a pair"
            told = f"{name}: the first line is taken for {what}, {short(source)} and {short(target)}"
            (headers if names else pairs).append(told)
    lines = [f"{header}  (if it is a pair: data.columns.header=false)" for header in headers]
    if pairs:
        more = f", and that of {counted(len(pairs) - 1, 'more file')} too" if len(pairs) > 1 else ""
        lines.append(f"{pairs[0]}{more}  (if it names the columns: data.columns.header=true)")
    return lines


def first_row(name: str, columns: Columns) -> tuple[tuple[str, str], bool] | None:
    """Both sides of a file's first row, and whether it is a header; None of a file without rows of cells."""
    rows = rows_of(name)
    first = None if rows is None else next(rows, None)
    if rows is None or first is None:
        return None
    cells = first[1]
    source, target = (place_of(listed(side)[0], cells, name) for side in (columns.source, columns.target))
    if len(cells) <= max(source, target):
        return None
    return (cells[source], cells[target]), begins_with_header(cells, source, target, columns, rows)


def rows_of(name: str) -> Iterator[Row] | None:
    suffix = suffix_of(name)
    if suffix == ".csv":
        return csv_rows(name, read_lines(name))
    if suffix == ".tsv":
        return tsv_rows(read_lines(name))
    return None
