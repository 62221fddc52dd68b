"""How far forecasts are off: squared and absolute errors, summed by row ahead and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABELS = {"mse": "MSE", "mae": "MAE"}
Sums = NDArray[np.float64]


@dataclass
class Errors:
    """Sums over windows, each (T,C); a value that is missing, or was not forecast, has no part in them."""

    squared: Sums
    absolute: Sums
    count: Sums
    inside: Sums | None = None  # how many lay in their interval

    @classmethod
    def none(cls, horizon: int, columns: int, interval: bool = False) -> Errors:
        def zeros() -> Sums:
            return np.zeros((horizon, columns))

        return cls(zeros(), zeros(), zeros(), zeros() if interval else None)

    def add(
        self,
        forecast: NDArray[Any],
        gold: NDArray[Any],
        interval: tuple[NDArray[Any], NDArray[Any]] | None = None,
    ) -> None:
        """forecast and gold (B,T,C), NaN for what is not there; the interval's two ends likewise."""
        error = np.asarray(forecast, np.float64) - gold
        there = ~np.isnan(error)
        error = np.where(there, error, 0.0)
        self.squared += (error**2).sum(0)
        self.absolute += np.abs(error).sum(0)
        self.count += there.sum(0)
        if interval is not None and self.inside is not None:
            low, high = interval
            self.inside += (there & (low <= gold) & (gold <= high)).sum(0)

    @property
    def mse(self) -> float:
        return mean(self.squared, self.count)

    @property
    def mae(self) -> float:
        return mean(self.absolute, self.count)

    @property
    def coverage(self) -> float | None:
        """The share of values in their interval."""
        return None if self.inside is None else mean(self.inside, self.count)

    def scores(self) -> dict[str, float]:
        return {"mse": self.mse, "mae": self.mae}

    def of_rows(self, begin: int, end: int) -> Errors:
        """Those of some rows ahead, from 0."""
        return self.cut((slice(begin, end), slice(None)))

    def of_column(self, column: int) -> Errors:
        return self.cut((slice(None), slice(column, column + 1)))

    def cut(self, place: tuple[slice, slice]) -> Errors:
        inside = None if self.inside is None else self.inside[place]
        return Errors(self.squared[place], self.absolute[place], self.count[place], inside)

    def by_row(self) -> Sums:
        """(T,) the mean squared error of each row ahead; NaN where nothing was there."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.squared.sum(1) / self.count.sum(1))


def mean(total: Sums, count: Sums) -> float:
    number = float(count.sum())
    return float(total.sum()) / number if number else float("nan")
