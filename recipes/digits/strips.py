"""Strips of one to six handwritten digits, captioned in words: python recipes/digits/strips.py

From the 10,000 images of MNIST's t10k files, 8,000 go into strips to train on, 500 into those for development and
1,500 into those for test; no image is in two parts. Digits to train on are turned, slanted and scaled a little.
Writes <out>/{train,dev,test}/*.png and <out>/{train,dev,test}.tsv, and the single digits of each part, as they were,
as <out>/{train,dev,test}.idx; the same seed gives the same strips.
"""

from __future__ import annotations

import argparse
import gzip
import math
import random
import struct
from pathlib import Path

from PIL import Image

SIDE = 28  # pixels, of a digit and of a strip's height
WIDTH = 192  # pixels, of every strip
LONGEST = 6  # digits
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS = {"train": (0, 8000), "dev": (8000, 8500), "test": (8500, 10000)}  # places in the shuffled images
HEADER = {"images": 16, "labels": 8}  # bytes


def read(folder: Path) -> list[tuple[Image.Image, int]]:
    """Images with their labels, in the order of the files."""
    content = {
        what: gzip.decompress((folder / f"t10k-{what}-idx{dims}-ubyte.gz").read_bytes())[HEADER[what] :]
        for what, dims in (("images", 3), ("labels", 1))
    }
    size = SIDE * SIDE
    return [
        (Image.frombytes("L", (SIDE, SIDE), content["images"][number * size : (number + 1) * size]), label)
        for number, label in enumerate(content["labels"])
    ]


def distorted(digit: Image.Image, draw: random.Random) -> Image.Image:
    """Turned by at most 10 degrees, slanted, and scaled by 0.88 to 1.12 each way, about its middle."""
    angle = math.radians(draw.uniform(-10, 10))
    across, down, slant = draw.uniform(0.88, 1.12), draw.uniform(0.88, 1.12), draw.uniform(-0.15, 0.15)
    a, b = math.cos(angle) / across, (math.sin(angle) + slant) / across
    d, e = -math.sin(angle) / down, math.cos(angle) / down
    middle = (SIDE - 1) / 2
    c, f = middle - a * middle - b * middle, middle - d * middle - e * middle
    return digit.transform(digit.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)


def strip(digits: list[Image.Image], draw: random.Random) -> Image.Image:
    """Digits from left to right with uneven gaps, at an uneven height, somewhere in the width."""
    gaps = [draw.randint(-4, 4) for _ in digits[1:]]
    length = SIDE * len(digits) + sum(gaps)
    left = draw.randint(0, WIDTH - length)
    whole = Image.new("L", (WIDTH, SIDE))
    for digit, gap in zip(digits, [*gaps, 0], strict=True):
        place = (left, draw.randint(-2, 2))
        below = whole.crop((*place, place[0] + SIDE, place[1] + SIDE))
        whole.paste(Image.composite(digit, below, digit.point(lambda value: 255 * (value > 0))), place)
        left += SIDE + gap
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=Path, default=Path("data/digits"), help="folder of the two t10k files")
    parser.add_argument("--out", type=Path, default=Path("data/strips"))
    parser.add_argument("--train", type=int, default=20000, help="strips")
    parser.add_argument("--dev", type=int, default=1000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    images = read(options.digits)
    random.Random(options.seed).shuffle(images)
    for part, (first, last) in PARTS.items():
        draw = random.Random(f"{options.seed} {part}")
        folder = options.out / part
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for number in range(getattr(options, part)):
            chosen = [images[draw.randrange(first, last)] for _ in range(draw.randint(1, LONGEST))]
            digits = [distorted(image, draw) if part == "train" else image for image, _ in chosen]
            name = f"{part}/{number:05}.png"
            strip(digits, draw).save(options.out / name)
            lines.append(f"{name}\t{' '.join(WORDS[label] for _, label in chosen)}\n")
        singles = b"".join(image.tobytes() for image, _ in images[first:last])
        header = b"\0\0\x08\x03" + struct.pack(">3I", last - first, SIDE, SIDE)
        (options.out / f"{part}.idx").write_bytes(header + singles)
        (options.out / f"{part}.tsv").write_text("".join(lines), "utf-8")
        print(f"{options.out / part}.tsv: {len(lines):,} strips of {last - first:,} digits")


if __name__ == "__main__":
    main()
