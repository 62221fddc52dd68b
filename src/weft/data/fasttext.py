"""The model file (.bin) of fastText, as its own code writes and reads it: versions 11 and 12, not quantised.

    magic, version                      2 int32
    arguments                           12 int32, 1 double
    dictionary: entries, words, labels  3 int32; tokens, pruned n-grams (-1: none were) 2 int64
    each entry                          bytes, zero; count int64; type int8 (0 word, 1 label), words first
    whether the matrix is quantised     1 byte
    matrix: rows, width                 2 int64; float32s: a row for each word, then for each bucket of n-grams

All little-endian (saveModel and loadModel in fasttext.cc, args.cc, dictionary.cc, densematrix.cc).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weft.data.bytestream import Bytes
from weft.errors import WeftError

MAGIC = struct.pack("<i", 793712314)
VERSIONS = (11, 12)
SUPERVISED = 3
END_OF_LINE = "</s>"  # the only word without n-grams
BLOCK = 1 << 20  # floats of the matrix that are in memory at once


@dataclass(frozen=True)
class Arguments:
    width: int
    buckets: int
    shortest: int  # characters of an n-gram
    longest: int


def arguments(data: Bytes) -> Arguments:
    """Those that tell how vectors are made, from the start of the file."""
    _, version = unpacked(data, "<2i", "in its first bytes")
    if version not in VERSIONS:
        raise WeftError(f"{data.name}: is of version {version} of fastText's models; expected 11 or 12")
    width, *_, kind, buckets, shortest, longest, _, _ = unpacked(data, "<12id", "in its arguments")
    if version == 11 and kind == SUPERVISED:  # which had no n-grams of characters (loadModel)
        longest = 0
    return Arguments(width, buckets, shortest, longest)


def read(data: Bytes, wanted: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """The vector of each wanted word: the mean of its own row, where it has one, and those of its n-grams.

    That is what fastText's getWordVector gives (Bojanowski et al. 2017, section 3.2). A word that the model does not
    have and that is too short for n-grams is left out.
    """
    settings = arguments(data)
    places, words = dictionary(data, wanted)
    (quantised,) = unpacked(data, "<?", "after its dictionary")
    if quantised:
        raise WeftError(f"{data.name}: is a quantised model of fastText; expected one that is not, a .bin file")
    rows, width = unpacked(data, "<2q", "before its matrix")
    if width != settings.width or rows < words:
        raise WeftError(f"{data.name}: damaged: its matrix is {rows:,} by {width:,}, for {words:,} words")
    parts: dict[str, list[int]] = {}
    for word in wanted:
        own = [places[word]] if word in places else []
        parts[word] = own + [words + bucket for bucket in ngrams(word, settings)]
        if max(parts[word], default=0) >= rows:
            raise WeftError(f"{data.name}: damaged: its matrix has {rows:,} rows, too few for its n-grams")
    return means(data, rows, width, {word: found for word, found in parts.items() if found})


def unpacked(data: Bytes, layout: str, what: str) -> tuple[int, ...]:
    return struct.unpack(layout, data.take(struct.calcsize(layout), what))


def dictionary(data: Bytes, wanted: Collection[str]) -> tuple[dict[str, int], int]:
    """The rows of those of the wanted words that it has, and the number of its words."""
    entries, words, _, _, pruned = unpacked(data, "<3i2q", "before its dictionary")
    if pruned >= 0:
        raise WeftError(f"{data.name}: is a pruned model of fastText; expected one that is not")
    keys = {word.encode(): word for word in wanted}
    places = {}
    for number in range(entries):
        entry = data.until(b"\0", f"in entry {number + 1:,} of {entries:,} of its dictionary")
        _, is_label = unpacked(data, "<qb", f"in entry {number + 1:,} of {entries:,} of its dictionary")
        if not is_label and entry in keys:
            places[keys[entry]] = number
    return places, words


def ngrams(word: str, settings: Arguments) -> Iterator[int]:
    """The bucket of each n-gram of characters of <word>, but for < and > alone (computeSubwords in dictionary.cc)."""
    if word == END_OF_LINE or settings.buckets <= 0:
        return
    characters = [character.encode() for character in f"<{word}>"]
    for start in range(len(characters)):
        code = 2166136261  # FNV-1a, over signed bytes as fastText has them
        for count, character in enumerate(characters[start : start + settings.longest], 1):
            for byte in character:
                code = (code ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619 & 0xFFFFFFFF
            alone = count == 1 and start in (0, len(characters) - 1)
            if count >= settings.shortest and not alone:
                yield code % settings.buckets


def means(data: Bytes, rows: int, width: int, parts: dict[str, list[int]]) -> dict[str, NDArray[np.float32]]:
    """The mean of each word's rows of the matrix, which is read once, as far as it is needed."""
    words = list(parts)
    row = np.array([part for word in words for part in parts[word]], np.int64)
    owner = np.repeat(np.arange(len(words)), [len(parts[word]) for word in words])
    order = np.argsort(row, kind="stable")
    row, owner = row[order], owner[order]
    sums = np.zeros((len(words), width))
    each = max(1, BLOCK // width)
    for first in range(0, int(row[-1]) + 1 if len(row) else 0, each):
        count = min(each, rows - first)
        block = data.take(4 * width * count, f"in row {first + 1:,} to {first + count:,} of its matrix")
        here = slice(*np.searchsorted(row, [first, first + count]))
        np.add.at(sums, owner[here], np.frombuffer(block, "<f4").reshape(count, width)[row[here] - first])
    return {word: (total / len(parts[word])).astype(np.float32) for word, total in zip(words, sums, strict=True)}
