"""Encoded pairs on disk (Arrow IPC), written once and read through memory mapping."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weft.data.ragged import Ragged
from weft.data.read import Pair
from weft.errors import WeftError

EXAMPLES = "examples.arrow"
LENGTHS = "lengths"  # of each side, with its name before
SIDES = ("source", "target")

Side = Literal[0, 1]
Ids = NDArray[np.int32]
Images = NDArray[np.uint8]  # (N,C,H,W), or one of them, (C,H,W)
Shape = tuple[int, int, int]  # C, H, W
Add = Callable[[Sequence[Pair], Ragged | Images, Ragged, Ragged | None], None]
FACTORS = "factors"  # column of the features of the words of each source, where there are any
SHAPE = b"shape"  # of images, in the metadata of a file that has them


class Store:
    """Pairs by number, read from disk where they are asked for. Ids are without `bos` and `eos`.

    Sources may be images, all of one `shape`; they have no ids then, and no length.
    """

    def __init__(self, batches: list[pa.RecordBatch], has_text: bool, folder: Path, shape: Shape | None = None) -> None:
        self.has_text = has_text
        self._batches = batches
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)]).tolist()
        self.shape = shape
        self._images = [pixels_of(batch.column(SIDES[0]), shape) for batch in batches] if shape else []
        of_ids = [[] if shape and side == SIDES[0] else batches for side in SIDES]
        self._flat = [[flat(batch.column(side)) for batch in there] for side, there in zip(SIDES, of_ids, strict=True)]
        there = [batch for batch in batches if FACTORS in batch.schema.names]
        self._factors = [flat(batch.column(FACTORS)) for batch in there]
        self.lengths = tuple(  # of each side, (pairs,)
            lengths(folder / f"{side}.{LENGTHS}", sum(batch.num_rows for batch in there))
            for side, there in zip(SIDES, of_ids, strict=True)
        )

    @classmethod
    def open(cls, folder: Path) -> Store:
        """What `written` left in a folder; WeftError where it is missing or damaged."""
        path = folder / EXAMPLES
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            found = (reader.schema.metadata or {}).get(SHAPE)
            shape = None if found is None else cast(Shape, tuple(map(int, found.split())))
            return cls(batches, "source_text" in reader.schema.names, folder, shape)
        except FileNotFoundError:
            raise WeftError(f"{path}: no such corpus") from None
        except (pa.ArrowException, OSError, KeyError) as error:
            raise WeftError(f"{path}: damaged: {error}") from None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def ids(self, side: int, i: int) -> Ids:
        """(T,) ids of one side (0 source, 1 target) of pair i."""
        return self._row(self._flat[side], i)

    def factors(self, i: int) -> Ids:
        """(W*F,) ids of the features of the words of the source of pair i, those of a word together."""
        return self._row(self._factors, i)

    def _row(self, column: list[tuple[NDArray[Any], Ids]], i: int) -> Ids:
        batch = bisect_right(self._starts, i) - 1
        row = i - self._starts[batch]
        values, offsets = column[batch]
        return values[offsets[row] : offsets[row + 1]].astype(np.int32)

    def image(self, i: int) -> Images:
        """(C,H,W) of the source of pair i, a view of the file."""
        batch = bisect_right(self._starts, i) - 1
        found: Images = self._images[batch][i - self._starts[batch]]
        return found

    def text(self, side: int, i: int) -> str:
        """The line of one side of pair i; only where `has_text`."""
        batch = bisect_right(self._starts, i) - 1
        return str(self._batches[batch].column(f"{SIDES[side]}_text")[i - self._starts[batch]].as_py())


def flat(column: pa.ListArray) -> tuple[NDArray[Any], Ids]:
    """All values one after another, and where each row begins (with one end more)."""
    return column.values.to_numpy(), column.offsets.to_numpy()


def pixels_of(column: pa.FixedSizeBinaryArray, shape: Shape) -> Images:
    """(N,C,H,W), a view of the column."""
    size = column.type.byte_width
    return np.frombuffer(column.buffers()[1], np.uint8, len(column) * size, column.offset * size).reshape(-1, *shape)


def lengths(path: Path, rows: int) -> Ids:
    """(rows,) lengths of one side, in memory as far as they are looked at."""
    size = path.stat().st_size if path.is_file() else 0
    if size != rows * 4:
        raise WeftError(f"{path}: damaged: it has {size:,} bytes; expected {rows * 4:,}")
    return np.asarray(np.memmap(path, np.int32, "r")) if rows else np.zeros(0, np.int32)


@contextmanager
def written(
    folder: Path, has_text: bool, small: bool, shape: Shape | None = None, factored: bool = False
) -> Iterator[Add]:
    """Make a store of batches of pairs, each with source ids, or images of this shape, and target ids.

    Where it is `factored`, the features of sources follow. The folder is new. Ids that are all `small`, less than
    2^16, take half the room.
    """
    folder.mkdir()
    ids = pa.list_(pa.uint16() if small else pa.int32())
    fields = [(side, ids) for side in SIDES]
    if shape:
        fields[0] = (SIDES[0], pa.binary(prod(shape)))
    if factored:
        fields.append((FACTORS, ids))
    if has_text:
        fields += [(f"{side}_text", pa.large_string()) for side in SIDES]
    schema = pa.schema(fields, {SHAPE: " ".join(map(str, shape))} if shape else None)

    def add(pairs: Sequence[Pair], source: Ragged | Images, target: Ragged, factors: Ragged | None) -> None:
        columns = [column(rows, small) for rows in (source, target, factors) if rows is not None]
        if has_text:
            columns += [pa.array([pair[side] for pair in pairs], pa.large_string()) for side in (0, 1)]
        writer.write_batch(pa.record_batch(columns, schema=schema))
        for file, side in zip(files, (source, target), strict=True):
            if isinstance(side, Ragged):
                file.write(side.lengths.tobytes())

    with ExitStack() as stack:
        files = [stack.enter_context(open(folder / f"{side}.{LENGTHS}", "wb")) for side in SIDES]
        sink = stack.enter_context(pa.OSFile(str(folder / EXAMPLES), "wb"))
        writer = stack.enter_context(pa.ipc.new_file(sink, schema))
        yield add


def column(rows: Ragged | Images, small: bool) -> pa.Array:
    if isinstance(rows, np.ndarray):
        content = pa.py_buffer(np.ascontiguousarray(rows))
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(prod(rows.shape[1:])), len(rows), [None, content])
    values = rows.values.astype(np.uint16) if small else rows.values
    return pa.ListArray.from_arrays(pa.array(rows.offsets), pa.array(values))
