"""What is taken for what: a matrix of labels wanted and labels given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from weft.errors import WeftError
from weft.look.canvas import INK, QUIET, SHADES, lettering, new_figure, save, without_glyph_warnings

CELL = 0.34  # inches
NUMBERED = 16  # so many labels have room for numbers in their cells


def draw_confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], path: Path) -> None:
    """`counts[i][j]` lines or words are `labels[i]` and were called `labels[j]`; shades are parts of a row.

    The format (PNG, SVG or PDF) is by suffix. Raises WeftError without matplotlib or without labels.
    """
    if not labels:
        raise WeftError("there are no labels to draw")
    size, longest = len(labels), max(map(cell_len, labels))
    margin = 0.075 * longest + 0.7
    side = max(2.2, CELL * size)
    figure = new_figure(side + margin + 0.4, side + margin)
    from matplotlib.colors import LinearSegmentedColormap

    axes = figure.subplots()
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    axes.imshow(shares, cmap=LinearSegmentedColormap.from_list("shades", SHADES), vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count and size <= NUMBERED:
                ink = "white" if shares[i][j] > 0.5 else INK
                axes.text(j, i, f"{count:,}", ha="center", va="center", fontsize=6.5, color=ink)
    type_: dict[str, Any] = {"fontsize": 7.5, "color": INK, **lettering(labels)}
    axes.set_xticks(range(size), labels, rotation=90, **type_)
    axes.set_yticks(range(size), labels, **type_)
    axes.set_xlabel("given", fontsize=8.5, color=QUIET)
    axes.set_ylabel("wanted", fontsize=8.5, color=QUIET)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    with without_glyph_warnings():
        figure.tight_layout(pad=1.2)
    save(figure, path)
