"""Which source piece each target piece looked at, as a picture and in the terminal.

Letters: T target length, S source length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from weft.look.canvas import (
    BASE_FONT,
    INK,
    QUIET,
    SHADES,
    fonts_for,
    new_figure,
    save,
    tidy,
    without_glyph_warnings,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Weights = NDArray[np.floating[Any]]

CELL = 0.36  # inches, the largest side of one
LONGEST_SIDE = 16.0  # inches, of one matrix
WIDEST_ROW = 15.0  # inches, of matrices side by side
CHARACTER = 0.085  # inches, of a title
MARGIN, GAP, LABEL_GAP, TITLE, KEY = 0.28, 0.55, 0.07, 0.36, 0.42

TERMINAL_HEAD = 4  # longer pieces are written downwards above a column of a terminal
TERMINAL_SHADES = ((24, 26, 44), (52, 48, 110), (92, 84, 190), (150, 150, 240), (228, 232, 255))
BLOCKS = " ░▒▓█"


@dataclass(frozen=True)
class Example:
    """One matrix: weights (T,S), rows in the order of the target."""

    weights: Weights
    source_pieces: Sequence[str]
    target_pieces: Sequence[str]
    title: str = ""

    def __post_init__(self) -> None:
        expected = (len(self.target_pieces), len(self.source_pieces))
        if self.weights.shape != expected:
            raise ValueError(f"weights are {self.weights.shape}; the pieces, target by source, are {expected}")


@dataclass
class Panel:
    """Where one matrix goes, in inches: `left` and `top` of the whole, with its heads and title."""

    example: Example
    cell: float
    size: float  # of the type, in points
    beside: float  # width of the target pieces
    above: float  # height of the source pieces and the title
    upright: bool  # the source pieces are turned by 90 degrees
    left: float = 0.0
    top: float = 0.0

    @property
    def width(self) -> float:
        return max(self.beside + self.cell * len(self.example.source_pieces), CHARACTER * len(self.title))

    @property
    def title(self) -> str:
        """That of the example, cut off where it would be wider than the largest matrix."""
        title, room = self.example.title, int(LONGEST_SIDE / CHARACTER)
        return title if len(title) <= room else f"{title[: room - 1]}…"

    @property
    def height(self) -> float:
        return self.above + self.cell * len(self.example.target_pieces)


def draw(
    weights: Weights, source_pieces: Sequence[str], target_pieces: Sequence[str], path: Path, title: str = ""
) -> None:
    """Write a picture of weights (T,S): source on top, target at the left, darker where more was looked at.

    The format (PNG, SVG or PDF) is by suffix. Raises WeftError without matplotlib.
    """
    draw_grid([Example(weights, source_pieces, target_pieces, title)], path)


def draw_grid(examples: Sequence[Example], path: Path) -> None:
    """Several matrices in one picture, shaded alike, from left to right and then down."""
    figure = new_figure(1, 1)
    texts = [text for example in examples for text in (*map(tidy, words_of(example)), example.title)]
    fonts = fonts_for(texts)
    panels = [measured(figure, example, fonts) for example in examples]
    width, height = placed(panels)
    figure.set_size_inches(width, height)
    strongest = max((float(example.weights.max()) for example in examples if example.weights.size), default=0.0) or 1.0
    for panel in panels:
        add_matrix(figure, panel, strongest, fonts)
    add_key(figure, strongest, width, height)
    save(figure, path)


def words_of(example: Example) -> Iterator[str]:
    yield from example.source_pieces
    yield from example.target_pieces


def measured(figure: Figure, example: Example, fonts: list[str]) -> Panel:
    longest = max(len(example.source_pieces), len(example.target_pieces), 1)
    cell = min(CELL, LONGEST_SIDE / longest)
    size = max(5.0, min(10.0, cell * 72 * 0.42))
    beside = max((extent(figure, tidy(piece), size, fonts)[0] for piece in example.target_pieces), default=0.0)
    heads = [extent(figure, tidy(piece), size, fonts) for piece in example.source_pieces]
    upright = any(width > cell for width, _ in heads)
    above = max((width if upright else height for width, height in heads), default=0.0)
    title = TITLE if example.title else 0.0
    return Panel(example, cell, size, beside + LABEL_GAP, above + LABEL_GAP + title, upright)


def extent(figure: Figure, text: str, size: float, fonts: list[str]) -> tuple[float, float]:
    """Width and height of a piece of type, in inches."""
    with without_glyph_warnings():
        label = figure.text(0, 0, text, fontsize=size, fontfamily=fonts, parse_math=False)
        box = label.get_window_extent()
    label.remove()
    return box.width / figure.dpi, box.height / figure.dpi


def placed(panels: Sequence[Panel]) -> tuple[float, float]:
    """Set the panels as words are set in lines; gives the width and height of the whole in inches."""
    left, top, line, width = MARGIN, MARGIN, 0.0, 0.0
    for panel in panels:
        if left > MARGIN and left + panel.width > WIDEST_ROW:
            left, top, line = MARGIN, top + line + GAP, 0.0
        panel.left, panel.top = left, top
        left += panel.width + GAP
        line = max(line, panel.height)
        width = max(width, panel.left + panel.width)
    return max(width + MARGIN, 2.4), top + line + KEY + MARGIN


def add_matrix(figure: Figure, panel: Panel, strongest: float, fonts: list[str]) -> None:
    width, height = figure.get_size_inches()
    rows, columns = panel.example.weights.shape
    if not rows or not columns:
        return
    box = (
        (panel.left + panel.beside) / width,
        1 - (panel.top + panel.height) / height,
        panel.cell * columns / width,
        panel.cell * rows / height,
    )
    axes = figure.add_axes(box)
    lines = 0.5 + 2 * panel.cell
    axes.pcolormesh(
        panel.example.weights, cmap=shades(), vmin=0, vmax=strongest, edgecolors="white", linewidth=lines, snap=True
    )
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=72 * LABEL_GAP * 0.8)
    axes.spines[:].set_visible(False)
    every = max(1, int(np.ceil(panel.size * 1.25 / 72 / panel.cell)))
    type_: dict[str, Any] = {"fontsize": panel.size, "fontfamily": fonts, "color": INK, "parse_math": False}
    heads, sides = (
        [tidy(piece) for piece in some] for some in (panel.example.source_pieces, panel.example.target_pieces)
    )
    axes.set_xticks(np.arange(0, columns, every) + 0.5, heads[::every], rotation=90 * panel.upright, **type_)
    axes.set_yticks(np.arange(0, rows, every) + 0.5, sides[::every], **type_)
    if panel.example.title:
        figure.text(
            panel.left / width,
            1 - panel.top / height,
            panel.title,
            fontsize=11,
            fontfamily=fonts,
            fontweight="bold" if fonts == [BASE_FONT] else "normal",
            color=INK,
            va="top",
            parse_math=False,
        )


def add_key(figure: Figure, strongest: float, width: float, height: float) -> None:
    """A small scale at the bottom right: what the lightest and the darkest cell stand for."""
    length, thick = 0.9, 0.09
    right = width - MARGIN - 0.34
    axes = figure.add_axes(((right - length) / width, MARGIN / height, length / width, thick / height))
    axes.imshow(np.linspace(0, 1, 64)[None], cmap=shades(), aspect="auto")
    axes.set_axis_off()
    type_: dict[str, Any] = {"fontsize": 7.5, "fontfamily": BASE_FONT, "color": QUIET, "va": "center"}
    middle = (MARGIN + thick / 2) / height
    figure.text((right - length - 0.06) / width, middle, "0", ha="right", **type_)
    figure.text((right + 0.06) / width, middle, f"{strongest:.2f}", ha="left", **type_)


def shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("weft", SHADES)


def in_terminal(
    weights: Weights, source_pieces: Sequence[str], target_pieces: Sequence[str], colour: bool = True
) -> str:
    """The matrix (T,S) as lines of equal width: ANSI 24-bit backgrounds, brighter for more, or block characters.

    Source pieces stand above their columns, written downwards where one is longer than four columns.
    """
    example = Example(weights, source_pieces, target_pieces)
    heads = [tidy(piece) for piece in example.source_pieces]
    sides = [tidy(piece) for piece in example.target_pieces]
    widest = max(map(cell_len, heads), default=0)
    column = 2 if widest > TERMINAL_HEAD else max(2, widest + 1)
    margin = max(map(cell_len, sides), default=0)
    lines = [" " * (margin + 1) + line for line in head_lines(heads, column, downwards=widest > TERMINAL_HEAD)]
    strongest = float(weights.max()) if weights.size else 0.0
    for side, row in zip(sides, weights / (strongest or 1.0), strict=True):
        label = " " * (margin - cell_len(side)) + side
        lines.append(f"{label} {''.join(painted(float(share), column, colour) for share in row)}")
    return "\n".join(lines)


def head_lines(heads: Sequence[str], column: int, downwards: bool) -> list[str]:
    if not downwards:
        return ["".join(in_columns(head, column) for head in heads)]
    stacks = [drawn_characters(head) for head in heads]
    height = max(map(len, stacks), default=0)
    stacks = [[""] * (height - len(stack)) + stack for stack in stacks]
    return ["".join(in_columns(stack[line], column) for stack in stacks) for line in range(height)]


def in_columns(text: str, columns: int) -> str:
    """The text in the middle of so many columns of a terminal."""
    free = columns - cell_len(text)
    return " " * (free // 2) + text + " " * (free - free // 2)


def drawn_characters(text: str) -> list[str]:
    """Characters with the combining marks that belong to them."""
    drawn: list[str] = []
    for character in text:
        if drawn and cell_len(character) == 0:
            drawn[-1] += character
        else:
            drawn.append(character)
    return drawn


def painted(share: float, columns: int, colour: bool) -> str:
    """One cell; `share` is its weight beside the strongest, 0 to 1."""
    if not colour:
        return BLOCKS[round(share * (len(BLOCKS) - 1))] * columns
    place = share * (len(TERMINAL_SHADES) - 1)
    low = min(int(place), len(TERMINAL_SHADES) - 2)
    between = zip(TERMINAL_SHADES[low], TERMINAL_SHADES[low + 1], strict=True)
    red, green, blue = (round(start + (place - low) * (end - start)) for start, end in between)
    return f"\x1b[48;2;{red};{green};{blue}m{' ' * columns}\x1b[0m"
