"""Images beside each other in rows, such as what went into an autoencoder and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.look.canvas import INK, lettering, new_figure, save

CELL = 0.8  # inches, the larger side of an image
MARGIN, GAP, LABEL = 0.2, 0.06, 0.26


def draw_rows(rows: Mapping[str, NDArray[np.floating[Any]]], path: Path) -> None:
    """Write one picture of rows of images (N,C,H,W) of 0 to 1, all of one size, each under its name.

    The format (PNG, SVG or PDF) is by suffix. Raises WeftError without matplotlib.
    """
    down, across = next(iter(rows.values())).shape[2:]
    wide, high = CELL * across / max(across, down), CELL * down / max(across, down)
    most = max(map(len, rows.values()))
    width = 2 * MARGIN + most * (wide + GAP) - GAP
    height = 2 * MARGIN + len(rows) * (LABEL + high + GAP) - GAP
    figure = new_figure(max(width, 2.4), height)
    width = figure.get_size_inches()[0]
    for number, (name, images) in enumerate(rows.items()):
        top = MARGIN + number * (LABEL + high + GAP)
        figure.text(MARGIN / width, 1 - top / height, name, fontsize=8, color=INK, va="top", **lettering([name]))
        for place, image in enumerate(images):
            left = MARGIN + place * (wide + GAP)
            box = (left / width, 1 - (top + LABEL + high) / height, wide / width, high / height)
            axes = figure.add_axes(box)
            pixels = np.broadcast_to(image, (3, down, across)).transpose(1, 2, 0)
            axes.imshow(np.clip(pixels, 0, 1), aspect="auto", interpolation="nearest")
            axes.set_axis_off()
    save(figure, path)
