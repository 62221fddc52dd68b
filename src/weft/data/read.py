"""From files to pairs of strings: parallel text, TSV, CSV, JSONL, Parquet; errors name the file and the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from glob import glob
from itertools import chain, tee, zip_longest
from pathlib import Path

from weft.data.cells import joined, key_of, listed, place_of, short
from weft.data.factors import factored
from weft.data.header import is_header
from weft.data.lines import COMPRESSED, STDIN, called, read_lines, reading
from weft.data.turns import answers_in
from weft.errors import WeftError, counted, nearest
from weft.recipe import Columns, Files, Parallel

Pair = tuple[str, str]
Row = tuple[int, list[str]]  # line number from 1, cells
PairReader = Callable[[str, Iterator[str], Columns], Iterator[Pair]]

SHOWN = 40  # characters of a line in a message
FORMATS = "parallel text, .tsv, .csv, .jsonl (each also .gz, .zst, .xz) and .parquet"
IN_A_RECIPE = "in a recipe, parallel text is {source: FILE, target: FILE}, and text alone {source: null, target: FILE}"


class NoTab(WeftError):
    """A first line without a tab, in a file whose name tells no format; `given` is how text in lines is read."""

    def __init__(self, name: str, given: str = IN_A_RECIPE) -> None:
        found = f"{name}: not known to hold pairs: its first line has no tab; supported are {FORMATS}"
        super().__init__(f"{found} ({given})")
        self.name = name


def read_pairs(files: Files, columns: Columns) -> Iterator[Pair]:
    """Pairs (source, target) in the order of the files, read as they are asked for.

    Of parallel lists, the first source file goes with the first target file, and so on; a line of text without a
    source has an empty one. A first row that is a header, as `columns` says or as it reads (`is_header`), is skipped.
    An empty row gives a pair of empty strings. Raises WeftError for whatever cannot be read as pairs of lines.

    Sources have features beside their words (`factored`) where `columns.factors` says so: in further columns, and in
    parallel text after tabs.
    """
    if not isinstance(files, Parallel):
        for name in expanded(files):
            yield from pairs_of(name, columns)
    elif files.source is None:
        for name in expanded(files.target):
            for line in read_lines(name):
                yield "", line
    else:
        sources, targets = expanded(files.source), expanded(files.target)
        if len(sources) != len(targets):
            raise WeftError(
                f"{counted(len(sources), 'source file')} but {counted(len(targets), 'target file')}: "
                f"they belong together one by one: {', '.join(sources)} | {', '.join(targets)}"
            )
        for source, target in zip(sources, targets, strict=True):
            pairs = side_by_side(source, target)
            if columns.factors:
                lines = enumerate(pairs, 1)
                pairs = ((beside(one.split("\t"), columns, f"{source}:{n}"), other) for n, (one, other) in lines)
            yield from pairs


def data_files(files: Files) -> list[Path]:
    """The files that `files` stands for, globs replaced by what they match in sorted order; without `-`."""
    return [Path(name) for name in names(files) if name != STDIN]


def names(files: Files) -> list[str]:
    """What `data_files` gives, as strings and with `-`; of parallel files all sources, then all targets."""
    if isinstance(files, Parallel):
        return ([] if files.source is None else expanded(files.source)) + expanded(files.target)
    return expanded(files)


def has_source(files: Files) -> bool:
    """False for text without a source."""
    return not isinstance(files, Parallel) or files.source is not None


def expanded(given: str | list[str]) -> list[str]:
    patterns = [given] if isinstance(given, str) else given
    if not patterns:
        raise WeftError("the list of data files is empty")
    found: list[str] = []
    for pattern in patterns:
        if pattern == STDIN or not set(pattern) & set("*?[") or Path(pattern).exists():
            found.append(pattern)
            continue
        matches = sorted(name for name in glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207
        if not matches:
            raise WeftError(f"{pattern}: no file matches")
        found.extend(matches)
    return found


def side_by_side(source: str, target: str, read: Callable[[str], Iterator[str]] = read_lines) -> Iterator[Pair]:
    """Line n of one file with line n of the other; WeftError where one of them ends before the other."""
    left, right = read(source), read(target)
    number = 0
    for one, other in zip_longest(left, right):
        if one is None or other is None:
            break
        number += 1
        yield one, other
    else:
        return
    ended, longer = (source, target) if one is None else (target, source)
    more = number + 1 + sum(1 for _ in (right if one is None else left))
    raise WeftError(
        f"{ended} has {counted(number, 'line')}, {longer} has {counted(more, 'line')}: "
        f"line {number + 1} of {longer} has no counterpart"
    )


def pairs_of(name: str, columns: Columns) -> Iterator[Pair]:
    """The pairs of one file, by the format that its name, or without a known suffix its first line, tells."""
    suffix = suffix_of(name)
    if columns.turns and suffix != ".jsonl" and name != STDIN:
        raise WeftError(f"{name}: data.columns.turns is {columns.turns}, but conversations are read from .jsonl")
    if suffix == ".parquet":
        if name.endswith(COMPRESSED):
            raise WeftError(f"{name}: compressed Parquet is not read; supported are {FORMATS}")
        yield from parquet_pairs(name, columns)
        return
    lines = read_lines(name)
    reader = READERS.get(suffix)
    if reader is None:
        first = next(lines, None)
        if first is None:
            return
        lines = chain([first], lines)
        if name == STDIN:
            reader = jsonl_pairs if columns.turns or first.startswith("{") else tsv_pairs
        elif "\t" in first:
            reader = tsv_pairs
        else:
            raise NoTab(name)
    yield from reader(called(name), lines, columns)


def suffix_of(name: str | Path) -> str:
    """Of a file's format: `.tsv` of pairs.tsv and of pairs.tsv.gz."""
    path = Path(str(name).lower())
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def tsv_rows(lines: Iterator[str]) -> Iterator[Row]:
    return ((number, line.split("\t")) for number, line in enumerate(lines, 1))


def tsv_pairs(name: str, lines: Iterator[str], columns: Columns) -> Iterator[Pair]:
    """Cells end at a tab; quotes are ordinary characters."""
    return pairs_of_rows(name, tsv_rows(lines), columns)


def csv_pairs(name: str, lines: Iterator[str], columns: Columns) -> Iterator[Pair]:
    """RFC 4180. A cell of a pair that holds a line break is refused, since each side is one line."""
    return pairs_of_rows(name, csv_rows(name, lines), columns)


def csv_rows(name: str, lines: Iterator[str]) -> Iterator[Row]:
    reader = csv.reader((line + "\n" for line in lines), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise WeftError(f"{name}:{number}: not CSV: {error}") from None
        if row is None:
            return
        yield number, row


def pairs_of_rows(name: str, rows: Iterator[Row], columns: Columns) -> Iterator[Pair]:
    first = next(rows, None)
    if first is None:
        return
    header, asked = first[1], (listed(columns.source), listed(columns.target), columns.factors)
    source, target, factors = ([place_of(column, header, name) for column in side] for side in asked)
    expected = max(source + target + factors) + 1
    headed = columns.headed
    if headed is None:
        rows, ahead = tee(rows)
        headed = reads_as_header(header, source[0], target[0], ahead)
        del ahead  # or it would hold every row
    if not headed:
        rows = chain([first], rows)
    for number, row in rows:
        if len(row) < expected:
            if row and row != [""]:
                told = f"{name}:{number}: {counted(len(row), 'column')} found, {expected} expected"
                raise WeftError(f"{told}{undivided(name, row)}")
            yield "", ""
            continue
        if len(row) > len(header) and any(row[len(header) :]):
            raise WeftError(
                f"{name}:{number}: {counted(len(row), 'column')} found, {len(header)} in the first line: "
                f"a {divider(name)} within a cell?"
            )
        one, other = (" ".join([row[place] for place in side]) for side in (source, target))
        if "\n" in one or "\n" in other:
            raise WeftError(f"{name}:{number}: a quoted cell holds a line break; each side of a pair is one line")
        yield beside([one, *(row[place] for place in factors)], columns, f"{name}:{number}"), other


def undivided(name: str, row: list[str]) -> str:
    """What a row of one cell lacks, and how it begins."""
    if len(row) > 1:
        return ""
    begun = row[0] if len(row[0]) <= SHOWN else row[0][:SHOWN] + "…"
    return f": no {divider(name)} in {begun!r}"


def divider(name: str) -> str:
    return "comma" if suffix_of(name) == ".csv" else "tab"


def reads_as_header(header: list[str], source: int, target: int, rows: Iterator[Row]) -> bool:
    """Whether the first row names the columns, by what it and the rows after it hold."""
    last = max(source, target)
    following = ((row[source], row[target]) for _, row in rows if len(row) > last)
    return len(header) > last and is_header(header[source], header[target], source > target, following)


def beside(cells: list[str], columns: Columns, place: str) -> str:
    """A source with the features of its words, where `columns` says that there are any."""
    return factored(cells, len(columns.factors), place) if columns.factors else cells[0]


def jsonl_pairs(name: str, lines: Iterator[str], columns: Columns) -> Iterator[Pair]:
    """One JSON object a line, or with `columns.turns` one conversation.

    Numbered columns are the keys of the first object that have strings, `source` and `target` first.
    """
    keys: list[list[str]] | None = None
    for number, line in enumerate(lines, 1):
        if not line:
            yield "", ""
            continue
        place = f"{name}:{number}"
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            raise WeftError(f"{place}: not JSON: {error.msg} at column {error.colno}") from None
        except RecursionError:
            raise WeftError(f"{place}: JSON nested too deeply") from None
        except ValueError as error:  # of an integer of thousands of digits
            raise WeftError(f"{place}: not read as JSON: {error}") from None
        if columns.turns:
            yield from answers_in(item, columns.turns, columns, place)
            continue
        if not isinstance(item, dict):
            raise WeftError(
                f"{place}: {short(item)} is no JSON object; expected such as {{'source': ..., 'target': ...}}"
            )
        if keys is None:
            asked = (columns.source, columns.target, columns.factors)
            keys = [[key_of(column, item, place) for column in listed(side)] for side in asked]
        if lacking := [key for side in keys for key in side if key not in item]:
            there = ", ".join(item) or "none"
            raise WeftError(f"{place}: no key '{lacking[0]}'; the keys are {there}{nearest(lacking[0], item)}")
        one, other = (joined(item, side, place) for side in keys[:2])
        yield beside([one, *(joined(item, [key], place) for key in keys[2])], columns, place), other


def parquet_pairs(name: str, columns: Columns) -> Iterator[Pair]:
    """Columns by name or number, one batch of rows in memory at a time; places are counted in rows."""
    import pyarrow
    import pyarrow.parquet

    with reading(name):
        try:
            file = pyarrow.parquet.ParquetFile(name, memory_map=True)
            header = list(file.schema_arrow.names)
            asked = (listed(columns.source), listed(columns.target), columns.factors)
            places = [[place_of(column, header, name) for column in side] for side in asked]
            if (last := max(place for side in places for place in side)) >= len(header):
                raise WeftError(f"{name}: {counted(len(header), 'column')} found, {last + 1} expected")
            keys = [[header[place] for place in side] for side in places]
            if twice := [key for side in keys for key in side if header.count(key) > 1]:
                raise WeftError(f"{name}: the column '{twice[0]}' is there twice")
            row = 0
            wanted = list(dict.fromkeys(key for side in keys for key in side))
            for batch in file.iter_batches(columns=wanted):
                for cells in zip(*(batch.column(key).to_pylist() for key in wanted), strict=True):
                    row += 1
                    item = dict(zip(wanted, cells, strict=True))
                    place = f"{name}: row {row}"
                    one, other = (joined(item, side, place) for side in keys[:2])
                    yield beside([one, *(joined(item, [key], place) for key in keys[2])], columns, place), other
        except pyarrow.ArrowException as error:
            raise WeftError(f"{name}: not a Parquet file, or damaged: {error}") from None


READERS: dict[str, PairReader] = {".tsv": tsv_pairs, ".csv": csv_pairs, ".jsonl": jsonl_pairs}
