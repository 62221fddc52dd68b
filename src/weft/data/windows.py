"""Windows of a series in batches: what the model looks back at, and what it should answer.

B windows, S rows looked back at, T rows ahead, C columns, K columns known ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from weft.data.batch import Batch, Order, Padded, Rows
from weft.data.series import Scaled
from weft.recipe import Series


class Windows:
    """Every window by its number, cut from the one array; batches of them in a seeded order."""

    def __init__(self, series: Scaled, starts: Rows, settings: Series, patch: int, tokens: int, seed: int) -> None:
        """`starts` are the rows that forecasts begin at; `patch` the rows that a decoder is fed at once."""
        self.series = series
        self.starts = starts
        self.look_back, self.horizon, self.patch = settings.look_back, settings.horizon, patch
        back, ahead = (np.full(len(starts), rows - 1, np.int32) for rows in (self.look_back, self.horizon))
        self.order = Order(back, ahead, tokens, seed)

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, rows: Rows, epoch: int = 0) -> Batch:
        """source (B,S,C+K), fed (B,T,C+K): what was a patch before and is known now, gold (B,T,C); NaN: missing."""
        begins = self.starts[rows][:, None]
        back, ahead = begins + np.arange(-self.look_back, 0), begins + np.arange(self.horizon)
        values, known = self.series.values, self.series.known
        before = ahead - self.patch
        return Batch(
            source=padded(np.concatenate([values[back], known[back]], 2)),
            fed=padded(np.concatenate([values[before], known[ahead]], 2)),
            gold=padded(values[ahead]),
            rows=rows,
        )

    def record(self, row: int) -> dict[str, Any]:
        """What is told of a window in a dump."""
        begin = int(self.starts[row])
        told: dict[str, Any] = {"window": int(row), "first_row": begin + 1}
        if self.series.times is not None:
            told["time"] = str(self.series.times[begin])
        return told


def padded(data: np.ndarray[Any, np.dtype[np.float32]]) -> Padded:
    """Sequences of equal length, with nothing padded."""
    return Padded(torch.from_numpy(data), torch.full((len(data),), data.shape[1]))
