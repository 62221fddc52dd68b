"""What a model of series answers: the rows after the last one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weft.data.table import Numbers


@dataclass(frozen=True)
class Forecast:
    """T rows of C columns in the units of the file; `str()` of it is CSV."""

    columns: list[str]
    times: list[str]  # (T,) dates as the file's, or 1, 2, ... where it has none
    time: str  # what the column of these is called
    values: Numbers  # (T,C)
    quantiles: dict[float, Numbers]  # (T,C) of each level but the median; empty where the model has one number only

    def header(self) -> list[str]:
        return [
            self.time,
            *self.columns,
            *(f"{column}_{level:g}" for level in self.quantiles for column in self.columns),
        ]

    def rows(self) -> Iterator[list[Any]]:
        """The time, each column, and each column's other quantiles, level by level."""
        for place, time in enumerate(self.times):
            others = [number for found in self.quantiles.values() for number in found[place].tolist()]
            yield [time, *self.values[place].tolist(), *others]

    def records(self) -> Iterator[dict[str, Any]]:
        """What `--jsonl` prints."""
        for row in self.rows():
            yield dict(zip(self.header(), row, strict=True))

    def __str__(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header())
        for time, *numbers in self.rows():
            writer.writerow([time, *(f"{number:.6g}" for number in numbers)])
        return text.getvalue()
