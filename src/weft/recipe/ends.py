"""Settings of a model's two ends: what goes in, and what comes out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from weft.recipe.section import Part, Section


class TokenInput(Section):
    """Tokens of the source vocabulary, embedded (`model.embedding`)."""

    kind: Literal["tokens"] = "tokens"


class ValuesInput(Section):
    """The rows of a series that the model looks back at (`data.series`)."""

    kind: Literal["values"] = "values"
    channels: Literal["joint", "independent"] = Field(
        "joint", description="all columns at once, or one model that sees each column alone (Nie et al. 2023)"
    )
    normalize: Literal["none", "last", "mean", "standard"] = Field(
        "none",
        description="each window and column less its last value (Zeng et al. 2023) or its mean; standard: less its "
        "mean, by its deviation (Kim et al. 2022); undone at the output",
    )
    patch: int = Field(1, ge=1, description="rows that are one position of the encoder")
    step: int | None = Field(None, ge=1, description="rows from one patch to the next; null: as many as it has")
    dropout: Part = Field(0.0, description="of what goes into encoder and decoder")


class TokenOutput(Section):
    """A distribution over the target vocabulary at each step."""

    kind: Literal["tokens"] = "tokens"


class ValuesOutput(Section):
    """Forecasts of every column of a series."""

    kind: Literal["values"] = "values"
    loss: Literal["mse", "mae", "huber", "quantile"] = Field(
        "mse", description="quantile: the pinball loss of each of `quantiles` (Koenker & Bassett 1978)"
    )
    delta: float = Field(1.0, gt=0.0, description="huber: the error from which on it is linear, in deviations")
    quantiles: list[float] = Field(
        [0.1, 0.5, 0.9], description="quantile: rising; the outer ones are the interval, 0.5 is the forecast"
    )
    patch: int = Field(1, ge=1, description="rows that a decoder says in one step (Lin et al. 2023); direct: all")

    @model_validator(mode="after")
    def quantiles_hold_the_median(self) -> ValuesOutput:
        given = self.quantiles
        if given != sorted(set(given)) or not all(0 < quantile < 1 for quantile in given) or 0.5 not in given:
            raise ValueError(f"model.output.quantiles is {given}; expected rising numbers between 0 and 1, 0.5 too")
        return self


AnyInput = TokenInput | ValuesInput
AnyOutput = TokenOutput | ValuesOutput
