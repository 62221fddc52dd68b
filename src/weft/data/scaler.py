"""How numbers are scaled, learnt from the training part alone, and kept in the run as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from weft.data.table import Numbers, Table
from weft.errors import WeftError
from weft.files import write_text

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scaler:
    """(x - mean) / deviation of each column; what is forecast comes first, then what is known ahead."""

    columns: list[str]  # C, forecast
    known: list[str]  # known ahead
    mean: list[float]  # of columns, then of known
    deviation: list[float]
    missing: bool  # whether values were missing in training
    season: int | None  # rows of the seasonal baseline

    def scaled(self, table: Table) -> Floats:
        """(R,C+known); NaN where a cell is missing."""
        values = table.of([*self.columns, *self.known])
        return np.asarray((values - self.mean) / self.deviation, np.float32)

    def unscaled(self, values: NDArray[np.floating]) -> Numbers:
        """(...,C) forecasts in the units of the file."""
        count = len(self.columns)
        return np.asarray(values, np.float64) * self.deviation[:count] + self.mean[:count]

    def save(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self), ensure_ascii=False, indent=1))

    @classmethod
    def load(cls, path: Path) -> Scaler:
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except FileNotFoundError:
            raise WeftError(f"{path}: no such file") from None
        except ValidationError:
            raise WeftError(f"{path}: damaged: it does not say how columns are scaled") from None


def fitted(table: Table, columns: list[str], known: list[str], rows: int, season: int | None) -> Scaler:
    """Mean and deviation of the first `rows` rows; WeftError for a column of which nothing can be learnt."""
    values = table.of([*columns, *known])[:rows]
    for column, found in zip([*columns, *known], values.T, strict=True):
        there = found[~np.isnan(found)]
        if not len(there):
            raise WeftError(
                f"{table.name}: column '{column}' has no value in the training part, its first {rows:,} rows"
            )
        if there.min() == there.max():
            raise WeftError(
                f"{table.name}: column '{column}' is {there[0]:g} in all of the training part, its first {rows:,} "
                f"rows: there is nothing to learn; leave it out with data.series.columns"
            )
    return Scaler(
        columns,
        known,
        np.nanmean(values, 0).tolist(),
        np.nanstd(values, 0).tolist(),
        bool(np.isnan(values[:, : len(columns)]).any()),
        season,
    )
