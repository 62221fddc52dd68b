"""One number of each pair, on disk rather than in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Column:
    """Numbers that are added at the end and read through memory mapping; the file has no name and ends with this."""

    def __init__(self, folder: Path, kind: DTypeLike) -> None:
        self.folder = folder
        self.kind = np.dtype(kind)
        self.clear()

    def clear(self) -> None:
        self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115
        self._count = 0

    def extend(self, numbers: NDArray[Any]) -> None:
        self._file.write(numbers.astype(self.kind).tobytes())
        self._count += len(numbers)

    def __len__(self) -> int:
        return self._count

    @property
    def numbers(self) -> NDArray[Any]:
        """(pairs,) all of them; what is written there stays."""
        if not self._count:
            return np.zeros(0, self.kind)
        self._file.flush()
        return np.asarray(np.memmap(self._file, self.kind, "r+", shape=(self._count,)))
