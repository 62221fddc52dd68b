"""Word vectors from files: word2vec (text or binary), GloVe, fastText (.vec or .bin), each also .gz, .zst or .xz.

    word2vec text, fastText .vec   words and width on the first line, then a word and its numbers on each
    GloVe                          the same without the first line
    word2vec binary                words and width on the first line, then a word, a space, float32s, in some files \\n
    fastText .bin                  fasttext.py

Which it is, the content tells. Files may be larger than memory: only vectors that are wanted are kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weft.data import fasttext
from weft.data.bytestream import Bytes, read_bytes
from weft.data.lines import CHUNK, missing
from weft.errors import WeftError, counted

HEADER = re.compile(rb"(\d+)[ \t](\d+)[ \r]*")

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    kind: Literal["text", "binary"]
    width: int
    words: int | None  # that the first line speaks of; None where there is no such line


def width_of(name: str) -> int:
    """Numbers of each vector in a file, from its start."""
    with read_bytes(checked(name)) as data:
        return fasttext.arguments(data).width if is_fasttext(data) else layout(data).width


def read_vectors(name: str, words: Collection[str]) -> dict[str, Vector]:
    """The vectors (width,) of those of the words that the file has; of a word that is there again, the first.

    A fastText model also gives vectors for words that it does not have, from their n-grams of characters. Raises
    WeftError, with the line of text or the place in bytes, for a file that is none of these, cut off, or mixed.
    """
    wanted = {word.encode(): word for word in words}
    with read_bytes(checked(name)) as data:
        if is_fasttext(data):
            vectors = fasttext.read(data, words)
        else:
            found = layout(data)
            vectors = (text_vectors if found.kind == "text" else binary_vectors)(data, found, wanted)
    for word, vector in vectors.items():
        if not np.isfinite(vector).all():
            raise WeftError(f"{name}: the vector of '{word}' has a number that is not finite")
    return vectors


def checked(name: str) -> str:
    """The name of a file that can be read twice."""
    path = Path(name)
    if not path.exists():
        raise missing(path)
    if not path.is_file() and not path.is_dir():
        raise WeftError(f"{name}: is no file, and word vectors are read twice")
    return name


def is_fasttext(data: Bytes) -> bool:
    return data.peek(len(fasttext.MAGIC)) == fasttext.MAGIC


def layout(data: Bytes) -> Layout:
    """What a file is by its first lines; one that is not a word's is taken."""
    first = data.peek(CHUNK).partition(b"\n")[0]
    header = HEADER.fullmatch(first)
    if header and int(header[2]):
        data.until(b"\n", "in its first line")
        second = data.peek(CHUNK).partition(b"\n")[0]
        return Layout("text" if is_row(second) or not second else "binary", int(header[2]), int(header[1]))
    if is_row(first):
        return Layout("text", len(numbers_of(first)), None)
    raise WeftError(
        f"{data.name}:1: not known as word vectors; expected the text or binary format of word2vec, GloVe or fastText"
    )


def is_row(line: bytes) -> bool:
    """Whether it is a word and numbers."""
    return bool(numbers_of(line)) and all(map(is_number, numbers_of(line)))


def numbers_of(line: bytes) -> list[bytes]:
    return line.rstrip(b" \r").split(b" ")[1:]


def is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def text_vectors(data: Bytes, layout: Layout, wanted: Mapping[bytes, str]) -> dict[str, Vector]:
    """Only what follows the last `width` numbers back is the word: some of GloVe's have spaces in them."""
    vectors: dict[str, Vector] = {}
    rows, before = 0, 1 if layout.words is None else 2
    for number, line in enumerate(data.lines(), before):
        line = line.rstrip(b" ")
        if not line:
            continue
        rows += 1
        spaces = line.count(b" ")
        if spaces == layout.width:
            word = line[: line.index(b" ")]
        else:
            word = line.rsplit(b" ", layout.width)[0] if spaces > layout.width else b""
            if spaces < layout.width or is_number(word.rpartition(b" ")[2]):
                raise WeftError(
                    f"{data.name}:{number}: {counted(spaces, 'number')} after the word; expected {layout.width}"
                )
        if word in wanted and wanted[word] not in vectors:
            try:
                numbers = [float(field) for field in line[len(word) + 1 :].split(b" ")]
            except ValueError as error:
                raise WeftError(f"{data.name}:{number}: not all of it are numbers: {error}") from None
            vectors[wanted[word]] = np.array(numbers, np.float32)
    if layout.words not in (None, rows):
        raise WeftError(
            f"{data.name}: cut off, or of another kind: its first line speaks of {counted(layout.words or 0, 'word')}, "
            f"and {rows:,} follow"
        )
    return vectors


def binary_vectors(data: Bytes, layout: Layout, wanted: Mapping[bytes, str]) -> dict[str, Vector]:
    """A break after a vector, which word2vec's own code writes, is not part of the next word."""
    vectors: dict[str, Vector] = {}
    for number in range(1, (layout.words or 0) + 1):
        what = f"in word {number:,} of {layout.words:,}"
        word = data.until(b" ", what).lstrip(b"\n")
        vector = data.take(4 * layout.width, what)
        if word in wanted and wanted[word] not in vectors:
            vectors[wanted[word]] = np.frombuffer(vector, "<f4").astype(np.float32)
    if data.peek(2).strip(b"\n"):
        raise WeftError(
            f"{data.name}: damaged, or of another kind: its first line speaks of {counted(layout.words or 0, 'word')} "
            f"of width {layout.width}, which end at byte {data.offset:,}, and more follows"
        )
    return vectors
