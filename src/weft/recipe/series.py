"""Settings of series: which columns of numbers, how far back the model looks, how far ahead it answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from weft.recipe.section import Section


class Series(Section):
    """Columns of numbers, a row for each point in time, in one CSV, TSV or Parquet file that names its columns.

    `data.train` is that file. Its rows are one part for training, the next for development, the next for test; what
    the model looks back at may lie in the part before.
    """

    time: str | None = Field(None, description="the column of dates, as ISO 8601; rows are taken as equally far apart")
    columns: list[str] = Field([], description="what is forecast; none: every column but `time` and `known`")
    known: list[str] = Field([], description="columns that are known ahead, such as prices or holidays")
    calendar: list[Literal["minute", "hour", "weekday", "day", "month"]] = Field(
        [], description="taken from `time` and known ahead, each as sine and cosine of its cycle"
    )
    look_back: int = Field(96, ge=1, description="rows that a forecast is made from")
    horizon: int = Field(24, ge=1, description="rows that are forecast")
    stride: int = Field(1, ge=1, description="rows between windows to train on; development and test take all")
    split: tuple[float, float, float] = Field(
        (0.7, 0.1, 0.2), description="rows of training, development and test, or parts of 1; later rows are not used"
    )
    season: int | None = Field(
        None, ge=1, description="rows of the seasonal baseline; null: from `time`, such as 24 where a row is an hour"
    )

    @field_validator("split")
    @classmethod
    def split_is_parts_or_rows(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        train, dev, test = split
        if train <= 0 or dev <= 0 or test < 0:
            raise ValueError(f"data.series.split is {shown(split)}; training and development need rows")
        if train <= 1:
            if sum(split) > 1 + 1e-9:
                raise ValueError(f"data.series.split is {shown(split)}; expected parts whose sum is at most 1")
        elif any(part != int(part) for part in split):
            raise ValueError(f"data.series.split is {shown(split)}; expected whole numbers of rows, or parts of 1")
        return split

    @model_validator(mode="after")
    def a_column_has_one_role(self) -> Series:
        roles = [*self.columns, *self.known, *([self.time] if self.time is not None else [])]
        twice = [name for name in dict.fromkeys(roles) if roles.count(name) > 1]
        if twice:
            raise ValueError(f"data.series names the column '{twice[0]}' twice, in time, columns or known")
        if self.calendar and self.time is None:
            raise ValueError("data.series.calendar is taken from dates: it needs data.series.time, a column of them")
        return self


def shown(split: tuple[float, float, float]) -> str:
    return f"[{', '.join(f'{part:g}' for part in split)}]"
