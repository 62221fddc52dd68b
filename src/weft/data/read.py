"""From files to pairs of strings: parallel text, TSV, CSV, JSONL, Parquet; errors name the file and the line.

A line ends at `\\n` and nowhere else; a `\\r` directly before it belongs to the end. All other characters that
Unicode or Python would break a line at (U+2028, U+0085, form feed, ...) are part of the text.
"""

from __future__ import annotations

import codecs
import csv
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from glob import glob
from itertools import chain, tee, zip_longest
from pathlib import Path
from typing import Protocol, cast

from weft.data.cells import joined, key_of, listed, place_of, short
from weft.data.factors import factored
from weft.data.header import is_header
from weft.data.turns import answers_in
from weft.errors import WeftError, counted, nearest
from weft.recipe import Columns, Files, Parallel

Pair = tuple[str, str]
Row = tuple[int, list[str]]  # line number from 1, cells
PairReader = Callable[[str, Iterator[str], Columns], Iterator[Pair]]

STDIN = "-"
CHUNK = 1 << 20  # bytes
SHOWN = 40  # characters of a line in a message
COMPRESSED = (".gz", ".zst", ".xz")
FORMATS = "parallel text, .tsv, .csv, .jsonl (each also .gz, .zst, .xz) and .parquet"
IN_A_RECIPE = "in a recipe, parallel text is {source: FILE, target: FILE}, and text alone {source: null, target: FILE}"
IMAGES = {b"\x89PNG\r\n\x1a\n": "a PNG", b"\xff\xd8\xff": "a JPEG"}  # what such files begin with
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class NoTab(WeftError):
    """A first line without a tab, in a file whose name tells no format; `given` is how text in lines is read."""

    def __init__(self, name: str, given: str = IN_A_RECIPE) -> None:
        found = f"{name}: not known to hold pairs: its first line has no tab; supported are {FORMATS}"
        super().__init__(f"{found} ({given})")
        self.name = name


class Stream(Protocol):
    def read1(self, size: int, /) -> bytes: ...


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


def called(name: str) -> str:
    """What messages call a file."""
    return "standard input" if name == STDIN else name


def read_lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file, compressed or not, or of standard input (`-`), without their ends.

    Lines come as soon as they arrive. A byte order mark at the start is dropped. Raises WeftError, with the file,
    the line, and the byte's place in the (decompressed) file, for anything that is not UTF-8 text.
    """
    with opened(path) as stream:
        number, position = 1, 0
        held: list[bytes] = []
        while chunk := stream.read1(CHUNK):
            if b"\0" in chunk:
                raise binary(called(path), b"".join([*held, chunk]), number, position)
            cut = chunk.rfind(b"\n") + 1
            if not cut:
                held.append(chunk)
                continue
            block = b"".join([*held, chunk[:cut]])
            held = [chunk[cut:]]
            lines = decoded(called(path), block, number, position).replace("\r\n", "\n").split("\n")
            lines.pop()
            yield from lines
            number, position = number + len(lines), position + len(block)
        if rest := decoded(called(path), b"".join(held), number, position):
            yield rest


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


@contextmanager
def opened(name: str) -> Iterator[Stream]:
    """A file's bytes, decompressed, or those of standard input."""
    if name == STDIN:
        yield cast(Stream, sys.stdin.buffer)
        return
    with reading(name), decompressed(Path(name)) as stream:
        yield stream


@contextmanager
def reading(name: str) -> Iterator[None]:
    """A failure to read the file in here is a WeftError that names it."""
    path = Path(name)
    if path.is_dir():
        raise WeftError(f"{name}: is a folder; expected a file, or a glob such as {path / '*.tsv'}")
    try:
        yield
    except FileNotFoundError:
        raise missing(path) from None
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise WeftError(f"{name}: cannot be read: {error.strerror}") from None
        raise WeftError(f"{name}: damaged or cut off: {error}") from None


def decompressed(path: Path) -> AbstractContextManager[Stream]:
    match path.suffix:
        case ".gz":
            import gzip

            return gzip.open(path, "rb")
        case ".xz":
            return xz(path)
        case ".zst":
            import pyarrow

            return cast(AbstractContextManager[Stream], pyarrow.input_stream(str(path), compression="zstd"))
    return open(path, "rb")


@contextmanager
def xz(path: Path) -> Iterator[Stream]:
    import lzma

    try:
        with lzma.open(path, "rb") as stream:
            yield stream
    except lzma.LZMAError as error:
        raise EOFError(error) from None


def missing(path: Path) -> WeftError:
    folder = path.parent
    if not folder.is_dir():
        return WeftError(f"{path}: no such file: there is no folder {folder}")
    return WeftError(f"{path}: no such file{nearest(path.name, (other.name for other in folder.iterdir()))}")


def decoded(name: str, block: bytes, number: int, position: int) -> str:
    """Whole lines as text; `number` and `position` are the line and the byte of the file that they start at."""
    mark = 3 if position == 0 and block.startswith(codecs.BOM_UTF8) else 0
    try:
        return block[mark:].decode()
    except UnicodeDecodeError as error:
        if position == 0 and block.startswith(UTF16):
            raise binary(name, block, number, position) from None
        bad = mark + error.start
        line = number + block.count(b"\n", 0, bad)
        raise WeftError(
            f"{name}:{line}: not UTF-8: byte 0x{block[bad]:02x} at offset {position + bad} of the file "
            f"({error.reason}); if the text is in another encoding, such as Latin-1 or Windows-1252, "
            f"convert it first: iconv -f WINDOWS-1252 -t UTF-8"
        ) from None


def binary(name: str, block: bytes, number: int, position: int) -> WeftError:
    if position == 0 and block.startswith(UTF16):
        return WeftError(f"{name}: is UTF-16; expected UTF-8: convert it first: iconv -f UTF-16 -t UTF-8")
    for start, kind in IMAGES.items():
        if position == 0 and block.startswith(start):
            return WeftError(
                f"{name}: is {kind} image; expected text: a model of images (model.input.kind: image) takes files that "
                f"name them line by line, see docs/images.md"
            )
    at = block.find(b"\0")
    line = number + block.count(b"\n", 0, at)
    return WeftError(f"{name}:{line}: looks like a binary file: zero byte at offset {position + at}; expected text")


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


def once_only(name: str) -> bool:
    """Whether what is read of it is gone: standard input, a pipe."""
    path = Path(name)
    return name == STDIN or path.is_fifo() or path.is_char_device()


def suffix_of(name: str | Path) -> str:
    """Of a file's format: `.tsv` of pairs.tsv and of pairs.tsv.gz."""
    path = Path(name)
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
        one, other = (" ".join([row[place] for place in side]) for side in (source, target))
        if "\n" in one or "\n" in other:
            raise WeftError(f"{name}:{number}: a quoted cell holds a line break; each side of a pair is one line")
        yield beside([one, *(row[place] for place in factors)], columns, f"{name}:{number}"), other


def undivided(name: str, row: list[str]) -> str:
    """What a row of one cell lacks, and how it begins."""
    if len(row) > 1:
        return ""
    begun = row[0] if len(row[0]) <= SHOWN else row[0][:SHOWN] + "…"
    return f": no {'comma' if suffix_of(name) == '.csv' else 'tab'} in {begun!r}"


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
            row = 0
            wanted = list(dict.fromkeys(key for side in keys for key in side))
            for batch in file.iter_batches(columns=wanted):
                for cells in zip(*(batch.column(key).to_pylist() for key in wanted), strict=True):
                    row += 1
                    item = dict(zip(wanted, cells, strict=True))
                    place = f"{name}: row {row}"
                    one, other = (joined(item, side, place) for side in keys[:2])
                    yield beside([one, *(joined(item, [key], place) for key in keys[2])], columns, place), other
        except pyarrow.ArrowInvalid as error:
            raise WeftError(f"{name}: not a Parquet file, or damaged: {error}") from None


READERS: dict[str, PairReader] = {".tsv": tsv_pairs, ".csv": csv_pairs, ".jsonl": jsonl_pairs}
