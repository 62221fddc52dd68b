"""What is done to an example anew each time that it is trained on: words left out, masked, moved; letters mistyped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from weft.data.batch import Padded, Pixels
from weft.data.chance import Chance
from weft.data.store import Ids
from weft.recipe import Noise

# what random numbers are for
DROP, SWAP, MASK, TARGET_DROP, MISTYPE, MISTAKE, LETTER, SOURCE_PIECES, TARGET_PIECES, GAPS, PIXELS = range(11)

Places = NDArray[np.int64]


def noisy(sources: Sequence[Ids], settings: Noise, chance: Chance, unk: int) -> list[Ids]:
    """Sources with tokens left out, then moved, then masked; never all of a source is left out."""
    ids, rows, places = side_by_side(sources)
    if settings.drop:
        drawn = chance.uniform(DROP, rows, places)
        stay = drawn >= settings.drop
        for row in np.flatnonzero(np.bincount(rows, stay, len(sources)) == 0):
            of_row = np.flatnonzero(rows == row)
            stay[of_row[drawn[of_row].argmax()] if len(of_row) else of_row] = True
        ids, rows, places = ids[stay], rows[stay], places[stay]
        places = renumbered(rows, len(sources))
    if settings.swap:
        moved = places + chance.uniform(SWAP, rows, places) * (settings.swap + 1)
        ids = ids[np.lexsort((moved, rows))]
    if settings.mask:
        ids = np.where(chance.uniform(MASK, rows, places) < settings.mask, np.int32(unk), ids)
    return np.split(ids, np.cumsum(np.bincount(rows, minlength=len(sources)))[:-1])


def drop_fed(fed: Padded, part: float, chance: Chance, unk: int) -> Padded:
    """What the decoder is fed (B,T), with tokens other than the first and the padding unknown (Bowman et al. 2016)."""
    count, width = fed.data.shape
    rows, places = np.divmod(np.arange(count * width), width)
    chosen = chance.uniform(TARGET_DROP, rows, places).reshape(count, width) < part
    chosen[:, 0] = False
    data = fed.data.numpy()
    data[chosen & fed.mask().numpy()] = unk
    return fed


def speckled(images: Pixels, settings: Noise, chance: Chance) -> Pixels:
    """Images with Gaussian noise on each value, then with some pixels black (Vincent et al. 2010, section 3.3)."""
    found = images.data.numpy().astype(np.float32)
    for image, seed in zip(found, chance.seeds(PIXELS), strict=True):
        random = np.random.default_rng(seed)
        if settings.pixel_noise:
            image += 255 * settings.pixel_noise * random.standard_normal(image.shape, np.float32)
        if settings.pixel_drop:
            image *= random.random(image.shape[1:]) >= settings.pixel_drop
    return Pixels(torch.from_numpy(found.round().clip(0, 255).astype(np.uint8)), images.lengths, images.clean)


def mistyped(lines: Sequence[str], part: float, chance: Chance, letters: str) -> list[str]:
    """Lines in which characters other than spaces are left out, doubled, swapped with the next one, or replaced by
    one of `letters`, each mistake as often; a line that would be empty stays as it was (Belinkov and Bisk 2018).
    """
    lengths = np.array([len(line) for line in lines], np.int64)
    rows = np.repeat(np.arange(len(lines)), lengths)
    places = renumbered(rows, len(lines))
    hit = np.flatnonzero(chance.uniform(MISTYPE, rows, places) < part)
    rows, places = rows[hit], places[hit]
    kinds = (4 * chance.uniform(MISTAKE, rows, places)).astype(np.int64)
    others = (len(letters) * chance.uniform(LETTER, rows, places)).astype(np.int64)
    found = list(lines)
    mistakes = zip(rows.tolist(), places.tolist(), kinds.tolist(), others.tolist(), strict=True)
    for row, of_row in groupby(mistakes, key=lambda mistake: mistake[0]):
        line = with_mistakes(lines[row], of_row, letters)
        found[row] = line if line.strip() else lines[row]
    return found


def with_mistakes(line: str, mistakes: Iterator[tuple[int, int, int, int]], letters: str) -> str:
    """The line with mistakes, each as row, place, kind and the number of a letter."""
    characters = list(line)
    for _, place, kind, other in mistakes:
        character = line[place]
        if character.isspace():
            continue
        if kind == 0:
            characters[place] = ""
        elif kind == 1:
            characters[place] *= 2
        elif kind == 2:
            if place + 1 < len(line) and not line[place + 1].isspace():
                characters[place : place + 2] = characters[place + 1], characters[place]
        elif letters:
            replacement = letters[other]
            characters[place] = letters[(other + 1) % len(letters)] if replacement == character else replacement
    return "".join(characters)


def side_by_side(sources: Sequence[Ids]) -> tuple[Ids, Places, Places]:
    """All ids one after another (N,), the row of each, and its place in the row."""
    rows = np.repeat(np.arange(len(sources)), [len(ids) for ids in sources])
    return np.concatenate(sources), rows, renumbered(rows, len(sources))


def renumbered(rows: Places, count: int) -> Places:
    """The place of each within its row, where rows lie one after another."""
    ends = np.cumsum(np.bincount(rows, minlength=count))
    starts = np.concatenate([[0], ends[:-1]])
    places: Places = np.arange(len(rows)) - starts[rows]
    return places
