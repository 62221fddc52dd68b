"""Settings of a model's two ends: what goes in, and what comes out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from weft.recipe.section import Part, Section


class TokenInput(Section):
    """Lines of text, as pieces of the source vocabulary."""

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


class ImageInput(Section):
    """Images, brought to one size and seen as a grid of positions, row by row."""

    kind: Literal["image"] = "image"
    height: int = Field(64, ge=1, le=4096, description="pixels that an image is brought to")
    width: int = Field(64, ge=1, le=4096, description="pixels that an image is brought to")
    colour: bool = Field(True, description="red, green and blue, or grey alone")
    fit: Literal["pad", "stretch"] = Field(
        "pad", description="pad: as large as it fits, in the middle, black around it; stretch: to the very size"
    )
    by: Literal["convolutions", "patches"] = Field(
        "convolutions", description="what makes a position: layers of convolutions, or a patch through one matrix"
    )
    channels: list[int] = Field([32, 64, 128], min_length=1, description="convolutions: of each layer")
    pool: list[tuple[int, int]] = Field(
        [(2, 2), (2, 2), (2, 2)],
        description="convolutions: rows and columns that become one after each layer, the largest value staying",
    )
    patch: tuple[int, int] = Field((8, 8), description="patches: rows and columns of pixels in one")
    dropout: Part = Field(0.1, description="of single values of the grid")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of an image as it goes in."""
        return (3 if self.colour else 1), self.height, self.width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of positions."""
        rows, columns = self.height, self.width
        for down, across in self.pool if self.by == "convolutions" else [self.patch]:
            rows, columns = rows // down, columns // across
        return rows, columns

    @property
    def positions(self) -> int:
        rows, columns = self.grid
        return rows * columns

    @model_validator(mode="after")
    def the_grid_has_positions(self) -> ImageInput:
        sizes = [size for pair in [*self.pool, self.patch] for size in pair]
        if min([*sizes, *self.channels]) < 1:
            raise ValueError("model.input: channels, pool and patch are numbers of 1 or more")
        if len(self.channels) != len(self.pool):
            raise ValueError(
                f"model.input.channels lists {len(self.channels)} layers and model.input.pool {len(self.pool)}; "
                "expected one for each layer"
            )
        if self.by == "patches" and (self.height % self.patch[0] or self.width % self.patch[1]):
            raise ValueError(
                f"model.input.patch is {self.patch[0]} x {self.patch[1]}, which does not divide images of "
                f"{self.height} x {self.width}"
            )
        if not self.positions:
            raise ValueError(
                f"model.input.pool leaves no position of an image of {self.height} x {self.width}; pool less"
            )
        return self


AnyInput = TokenInput | ImageInput | ValuesInput
AnyOutput = TokenOutput | ValuesOutput
