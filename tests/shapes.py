"""Small images of bright squares in a row, captioned by where they are."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELL = 4  # pixels
CELLS = 3
WORDS = {0: "dark", 1: "light"}
INPUT: dict[str, Any] = {
    "kind": "image",
    "height": CELL,
    "width": CELL * CELLS,
    "colour": False,
    "channels": [8, 16],
    "pool": [[2, 2], [2, 2]],
    "dropout": 0.0,
}
SMALL: dict[str, Any] = {
    "width": 16,
    "input": INPUT,
    "encoder": {"kind": "rnn", "width": 8, "dropout": 0.0},
    "decoder": {"kind": "rnn", "width": 16, "attention": {"width": 8}, "dropout": 0.0},
}


def picture(lights: Sequence[int], draw: random.Random) -> NDArray[np.uint8]:
    """(4,12): each of three cells bright or dark, with some noise."""
    pixels = np.zeros((CELL, CELL * CELLS), np.uint8)
    for cell, light in enumerate(lights):
        pixels[:, cell * CELL : (cell + 1) * CELL] = 200 * light + draw.randrange(50)
    return pixels


def write_pictures(folder: Path, count: int, seed: int = 1) -> Path:
    """`count` files and captions.tsv beside them, such as `images/00.png<tab>dark light dark`."""
    draw = random.Random(seed)
    (folder / "images").mkdir(parents=True)
    lines = []
    for number in range(count):
        lights = [draw.randrange(2) for _ in range(CELLS)]
        name = f"images/{number:02}.png"
        Image.fromarray(picture(lights, draw)).save(folder / name)
        lines.append(f"{name}\t{' '.join(WORDS[light] for light in lights)}\n")
    (folder / "captions.tsv").write_text("".join(lines))
    return folder / "captions.tsv"


def write_idx(path: Path, items: NDArray[np.uint8]) -> Path:
    """IDX of unsigned bytes, compressed where the name says so."""
    content = b"\0\0\x08" + bytes([items.ndim]) + struct.pack(f">{items.ndim}I", *items.shape) + items.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path
