"""What is seen of pairs before any is encoded: which lack a side, and the hashes that tell them from one another."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weft.data.read import Pair
from weft.data.store import Side

TRAIN, DEV, EMPTY_SOURCE, EMPTY_TARGET, HELD_OUT, DROPPED = range(6)  # what becomes of a pair

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Seen:
    """Of each pair of a block."""

    fates: NDArray[np.uint8]  # TRAIN, EMPTY_SOURCE or EMPTY_TARGET
    sides: Hashes  # of the side that splits; 0 where a side is empty
    pairs: Hashes  # of both sides


@dataclass(frozen=True)
class Survey:
    """Looks at the pairs of a block."""

    with_source: bool
    split_side: Side
    of_images: bool = False  # sources are names of images, which split by what they are called within their folders
    of_labels: bool = False  # targets are sets of labels, which may be empty

    def __call__(self, pairs: list[Pair]) -> Seen:
        fates, sides, whole = bytearray(), [], []
        for pair in pairs:
            if self.with_source and not pair[0].strip():
                fates.append(EMPTY_SOURCE)
            elif not (self.of_labels or pair[1].strip()):
                fates.append(EMPTY_TARGET)
            else:
                fates.append(TRAIN)
                sides.append(blake2b(self.split_key(pair).encode(), digest_size=8).digest())
                whole.append(digest(pair))
                continue
            sides.append(bytes(8))
            whole.append(bytes(8))
        return Seen(np.frombuffer(fates, np.uint8), hashes(sides), hashes(whole))

    def split_key(self, pair: Pair) -> str:
        return Path(pair[0]).name if self.of_images else pair[self.split_side]


def digest(pair: Pair) -> bytes:
    """Of both sides."""
    return blake2b(f"{pair[0]}\n{pair[1]}".encode(), digest_size=8).digest()


def hashes(digests: list[bytes]) -> Hashes:
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def repeated(columns: list[tuple[NDArray[np.uint8], Hashes]], at_once: int) -> list[NDArray[np.int64]]:
    """Of the fates and hashes of each corpus, the places of the pairs to train on that were there before.

    Hashes are compared range by range, of some `at_once` pairs each, so that memory stays that of one range.
    """
    passes = -(-sum(len(fates) for fates, _ in columns) // at_once)
    width = -(-(2**64) // max(1, passes))
    again: list[list[NDArray[np.int64]]] = [[np.zeros(0, np.int64)] for _ in columns]
    for number in range(passes):
        places, found = zip(*(of_range(*column, number, width, at_once) for column in columns), strict=True)
        new = np.ones(sum(map(len, places)), np.bool_)
        new[np.unique(np.concatenate(found), return_index=True)[1]] = False
        start = 0
        for corpus, there in enumerate(places):
            again[corpus].append(there[new[start : start + len(there)]])
            start += len(there)
    return [np.concatenate(there) for there in again]


def trained_on(looked_for: Hashes, columns: list[tuple[NDArray[np.uint8], Hashes]], at_once: int) -> int:
    """How many of these pairs are among those to train on, by the fates and hashes of each corpus."""
    different, counts = np.unique(looked_for, return_counts=True)
    found = np.zeros(len(different), np.bool_)
    for fates, of_pairs in columns if len(different) else []:
        for start in range(0, len(fates), at_once):
            part = slice(start, start + at_once)
            there = of_pairs[part][fates[part] == TRAIN]
            places = np.searchsorted(different, there).clip(max=len(different) - 1)
            found[places[different[places] == there]] = True
    return int(counts[found].sum())


def of_range(
    fates: NDArray[np.uint8], hashes: Hashes, number: int, width: int, at_once: int
) -> tuple[NDArray[np.int64], Hashes]:
    """Places and hashes of the pairs to train on whose hash lies in one range."""
    places, found = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    low, high = number * width, min((number + 1) * width, 2**64) - 1
    for start in range(0, len(fates), at_once):
        part = slice(start, start + at_once)
        inside = (hashes[part] >= np.uint64(low)) & (hashes[part] <= np.uint64(high)) & (fates[part] == TRAIN)
        places.append(start + np.flatnonzero(inside))
        found.append(hashes[part][inside])
    return np.concatenate(places), np.concatenate(found)
