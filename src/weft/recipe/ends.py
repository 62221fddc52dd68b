"""Settings of what goes in at the top of a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from weft.recipe.section import Part, Section


class TokenInput(Section):
    """Lines of text, as pieces of the source vocabulary."""

    kind: Literal["tokens"] = "tokens"


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


AnyInput = TokenInput | ImageInput
