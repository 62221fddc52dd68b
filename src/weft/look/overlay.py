"""What each word of a caption looked at, laid over the image.

Letters: T words, C channels, H rows and W columns of pixels, R rows and L columns of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.look.canvas import INK, SECOND, fonts_for, new_figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AREA = 1.9  # square inches of one picture
WIDEST_ROW = 12.0  # inches
MARGIN, GAP, WORD, TITLE = 0.25, 0.18, 0.24, 0.34
STRONGEST = 0.8  # how much of the colour covers the image where a word looked most

Weights = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Overlay:
    """An image (C,H,W) of bytes, and the weights (T,R,L) of the words that were said of it."""

    pixels: NDArray[np.uint8]
    weights: Weights
    words: Sequence[str]
    title: str = ""

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.words):
            raise ValueError(f"{len(self.weights)} rows of weights for {len(self.words)} words")


def draw_overlays(overlays: Sequence[Overlay], path: Path) -> None:
    """Write one picture: for each image a small one of each word, in the order of the words, from left to right.

    The more of the colour, the more was looked at; in the pictures of one image it means the same. The format (PNG,
    SVG or PDF) is by suffix. Raises WeftError without matplotlib.
    """
    figure = new_figure(1, 1)
    fonts = fonts_for(text for overlay in overlays for text in (*map(tidy, overlay.words), overlay.title))
    placed, top, widest = [], MARGIN, 0.0
    for overlay in overlays:
        across, down = size_of(overlay)
        in_row = max(1, int((WIDEST_ROW + GAP) / (across + GAP)))
        placed.append((overlay, top, in_row))
        count = len(overlay.words)
        top += TITLE + math.ceil(count / in_row) * (down + WORD + GAP)
        widest = max(widest, min(count, in_row) * (across + GAP) - GAP)
    width, height = max(widest, 2.4) + 2 * MARGIN, top + MARGIN - GAP
    figure.set_size_inches(width, height)
    for overlay, begin, in_row in placed:
        figure.text(
            MARGIN / width, 1 - begin / height, overlay.title, fontsize=9, fontfamily=fonts, color=INK,
            fontweight="bold" if len(fonts) == 1 else "normal", va="top", parse_math=False,
        )  # fmt: skip
        add_words(figure, overlay, begin + TITLE, in_row, fonts)
    save(figure, path)


def size_of(overlay: Overlay) -> tuple[float, float]:
    """Width and height of one small picture, in inches."""
    _, rows, columns = overlay.pixels.shape
    across = min(math.sqrt(AREA * columns / rows), WIDEST_ROW)
    return across, across * rows / columns


def add_words(figure: Figure, overlay: Overlay, top: float, in_row: int, fonts: list[str]) -> None:
    width, height = figure.get_size_inches()
    across, down = size_of(overlay)
    strongest = float(overlay.weights.max()) if overlay.weights.size else 1.0
    for number, (word, weights) in enumerate(zip(overlay.words, overlay.weights, strict=True)):
        row, column = divmod(number, in_row)
        left = MARGIN + column * (across + GAP)
        above = top + row * (down + WORD + GAP)
        figure.text(
            left / width, 1 - above / height, tidy(word), fontsize=9, fontfamily=fonts, color=INK, va="top",
            parse_math=False,
        )  # fmt: skip
        box = (left / width, 1 - (above + WORD + down) / height, across / width, down / height)
        axes = figure.add_axes(box)
        axes.imshow(covered(overlay.pixels, weights / (strongest or 1.0)), aspect="auto", interpolation="nearest")
        axes.set_axis_off()


def covered(pixels: NDArray[np.uint8], shares: Weights) -> Weights:
    """(C,H,W) under the colour, with shares (R,L) of 0 to 1 -> (H,W,3) of 0 to 1."""
    from matplotlib.colors import to_rgb

    image = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0) / 255
    cover = STRONGEST * upsampled(shares, *pixels.shape[1:])[..., None]
    mixed: Weights = image * (1 - cover) + np.array(to_rgb(SECOND)) * cover
    return mixed


def upsampled(grid: Weights, rows: int, columns: int) -> Weights:
    """(R,L) -> (rows, columns), straight lines between the middles of the cells."""
    found: Weights = between(len(grid), rows) @ grid @ between(grid.shape[1], columns).T
    return found


def between(cells: int, places: int) -> Weights:
    """(places, cells): how much of each cell there is in each place of a line."""
    middles = (np.arange(cells) + 0.5) * places / cells
    return np.stack([np.interp(np.arange(places) + 0.5, middles, cell) for cell in np.eye(cells)], 1)
