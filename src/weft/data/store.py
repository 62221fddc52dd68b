"""Encoded pairs on disk (Arrow IPC), written once and read through memory mapping."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from math import prod
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weft.data.read import Pair
from weft.errors import WeftError

EXAMPLES = "examples.arrow"
SIDES = ("source", "target")

Side = Literal[0, 1]
Ids = NDArray[np.int32]
Image = NDArray[np.uint8]  # (C,H,W)
Shape = tuple[int, int, int]
Add = Callable[[Sequence[Pair], Sequence[list[int]] | Sequence[Image], Sequence[list[int]]], None]
SHAPE = b"shape"  # of images, in the metadata of a file that has them


class Store:
    """Pairs by number, read from disk where they are asked for. Ids are without `bos` and `eos`.

    Sources may be images, all of one `shape`; they have no ids then, and no length.
    """

    def __init__(self, batches: list[pa.RecordBatch], has_text: bool, shape: Shape | None = None) -> None:
        self.has_text = has_text
        self._batches = batches
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)]).tolist()
        self.shape = shape
        self._images = [pixels_of(batch.column(SIDES[0]), shape) for batch in batches] if shape else []
        of_ids = [[] if shape and side == SIDES[0] else batches for side in SIDES]
        self._flat = [[flat(batch.column(side)) for batch in there] for side, there in zip(SIDES, of_ids, strict=True)]
        self.lengths = tuple(lengths(side) for side in self._flat)  # of each side, (pairs,)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """What `written` left in a folder; WeftError where it is missing or damaged."""
        path = folder / EXAMPLES
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            found = (reader.schema.metadata or {}).get(SHAPE)
            shape = None if found is None else cast(Shape, tuple(map(int, found.split())))
            return cls(batches, "source_text" in reader.schema.names, shape)
        except FileNotFoundError:
            raise WeftError(f"{path}: no such corpus") from None
        except (pa.ArrowException, OSError, KeyError) as error:
            raise WeftError(f"{path}: damaged: {error}") from None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def ids(self, side: int, i: int) -> Ids:
        """(T,) ids of one side (0 source, 1 target) of pair i, a view of the file."""
        batch = bisect_right(self._starts, i) - 1
        row = i - self._starts[batch]
        values, offsets = self._flat[side][batch]
        return values[offsets[row] : offsets[row + 1]]

    def image(self, i: int) -> Image:
        """(C,H,W) of the source of pair i, a view of the file."""
        batch = bisect_right(self._starts, i) - 1
        found: Image = self._images[batch][i - self._starts[batch]]
        return found

    def text(self, side: int, i: int) -> str:
        """The line of one side of pair i; only where `has_text`."""
        batch = bisect_right(self._starts, i) - 1
        return str(self._batches[batch].column(f"{SIDES[side]}_text")[i - self._starts[batch]].as_py())


def flat(column: pa.ListArray) -> tuple[Ids, Ids]:
    """All values one after another, and where each row begins (with one end more)."""
    return column.values.to_numpy(), column.offsets.to_numpy()


def pixels_of(column: pa.FixedSizeBinaryArray, shape: Shape) -> Image:
    """(N,C,H,W), a view of the column."""
    size = column.type.byte_width
    return np.frombuffer(column.buffers()[1], np.uint8, len(column) * size, column.offset * size).reshape(-1, *shape)


def lengths(side: list[tuple[Ids, Ids]]) -> Ids:
    return np.concatenate([np.zeros(0, np.int32), *(np.diff(offsets) for _, offsets in side)])


@contextmanager
def written(folder: Path, has_text: bool, shape: Shape | None = None) -> Iterator[Add]:
    """Make a store of batches of pairs, each with source ids, or images of this shape, and target ids."""
    folder.mkdir()
    fields = [(side, pa.list_(pa.int32())) for side in SIDES]
    if shape:
        fields[0] = (SIDES[0], pa.binary(prod(shape)))
    if has_text:
        fields += [(f"{side}_text", pa.large_string()) for side in SIDES]
    schema = pa.schema(fields, {SHAPE: " ".join(map(str, shape))} if shape else None)

    def add(
        pairs: Sequence[Pair], sources: Sequence[list[int]] | Sequence[Image], targets: Sequence[list[int]]
    ) -> None:
        first = flattened(cast(Sequence[Image], sources)) if shape else ragged(cast(Sequence[list[int]], sources))
        columns = [first, ragged(targets)]
        if has_text:
            columns += [pa.array([pair[side] for pair in pairs], pa.large_string()) for side in (0, 1)]
        writer.write_batch(pa.record_batch(columns, schema=schema))

    with pa.OSFile(str(folder / EXAMPLES), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        yield add


def flattened(images: Sequence[Image]) -> pa.FixedSizeBinaryArray:
    content = pa.py_buffer(np.ascontiguousarray(np.stack(images)))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(images[0].size), len(images), [None, content])


def ragged(rows: Sequence[list[int]]) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    values = np.fromiter(chain.from_iterable(rows), np.int32, int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
