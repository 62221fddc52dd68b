"""Encoded pairs on disk (Arrow IPC), written once and read through memory mapping."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

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
Add = Callable[[Sequence[Pair], Ragged, Ragged], None]


class Store:
    """Pairs by number, read from disk where they are asked for. Ids are without `bos` and `eos`."""

    def __init__(self, batches: list[pa.RecordBatch], has_text: bool, folder: Path) -> None:
        self.has_text = has_text
        self._batches = batches
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)]).tolist()
        self._flat = [[flat(batch.column(side)) for batch in batches] for side in SIDES]
        self.lengths = tuple(lengths(folder / f"{side}.{LENGTHS}", len(self)) for side in SIDES)  # (pairs,)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """What `written` left in a folder; WeftError where it is missing or damaged."""
        path = folder / EXAMPLES
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            return cls(batches, "source_text" in reader.schema.names, folder)
        except FileNotFoundError:
            raise WeftError(f"{path}: no such corpus") from None
        except (pa.ArrowException, OSError, KeyError) as error:
            raise WeftError(f"{path}: damaged: {error}") from None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def ids(self, side: int, i: int) -> Ids:
        """(T,) ids of one side (0 source, 1 target) of pair i."""
        batch = bisect_right(self._starts, i) - 1
        row = i - self._starts[batch]
        values, offsets = self._flat[side][batch]
        return values[offsets[row] : offsets[row + 1]].astype(np.int32)

    def text(self, side: int, i: int) -> str:
        """The line of one side of pair i; only where `has_text`."""
        batch = bisect_right(self._starts, i) - 1
        return str(self._batches[batch].column(f"{SIDES[side]}_text")[i - self._starts[batch]].as_py())


def flat(column: pa.ListArray) -> tuple[NDArray[Any], Ids]:
    """All values one after another, and where each row begins (with one end more)."""
    return column.values.to_numpy(), column.offsets.to_numpy()


def lengths(path: Path, rows: int) -> Ids:
    """(rows,) lengths of one side, in memory as far as they are looked at."""
    size = path.stat().st_size if path.is_file() else 0
    if size != rows * 4:
        raise WeftError(f"{path}: damaged: it has {size:,} bytes; expected {rows * 4:,}")
    return np.asarray(np.memmap(path, np.int32, "r")) if rows else np.zeros(0, np.int32)


@contextmanager
def written(folder: Path, has_text: bool, small: bool) -> Iterator[Add]:
    """Make a store of batches of pairs, each with source ids and target ids, in a new folder.

    Ids that are all `small`, less than 2^16, take half the room.
    """
    folder.mkdir()
    fields = [(side, pa.list_(pa.uint16() if small else pa.int32())) for side in SIDES]
    if has_text:
        fields += [(f"{side}_text", pa.large_string()) for side in SIDES]
    schema = pa.schema(fields)

    def add(pairs: Sequence[Pair], source: Ragged, target: Ragged) -> None:
        columns = [column(source, small), column(target, small)]
        if has_text:
            columns += [pa.array([pair[side] for pair in pairs], pa.large_string()) for side in (0, 1)]
        writer.write_batch(pa.record_batch(columns, schema=schema))
        for file, side in zip(files, (source, target), strict=True):
            file.write(side.lengths.tobytes())

    with ExitStack() as stack:
        files = [stack.enter_context(open(folder / f"{side}.{LENGTHS}", "wb")) for side in SIDES]
        sink = stack.enter_context(pa.OSFile(str(folder / EXAMPLES), "wb"))
        writer = stack.enter_context(pa.ipc.new_file(sink, schema))
        yield add


def column(rows: Ragged, small: bool) -> pa.ListArray:
    values = rows.values.astype(np.uint16) if small else rows.values
    return pa.ListArray.from_arrays(pa.array(rows.offsets), pa.array(values))
