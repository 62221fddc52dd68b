"""Pairs whose target is tags: as many as the source has words, one for the line, or both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from weft.data.read import Pair, names, read_pairs
from weft.errors import WeftError, counted
from weft.recipe import Columns, Files

Of = Literal["words", "line", "both"]
SHOWN = 60  # characters of a line


def pairs_in(files: Files, columns: Columns, tags: Of | None, key: str) -> Iterator[Pair]:
    """The pairs of files; where targets are tags, there are as many as there ought to be."""
    pairs = read_pairs(files, columns)
    return tagged(pairs, tags, f"{key} ({', '.join(names(files))})") if tags else pairs


def tagged(pairs: Iterable[Pair], of: Of, where: str) -> Iterator[Pair]:
    """The pairs with single spaces between words; WeftError, with the pair's number, where tags are too many or few.

    A pair with an empty side goes through as it is.
    """
    for number, (source, target) in enumerate(pairs, 1):
        words, tags = source.split(), target.split()
        wanted = count(len(words), of)
        if words and tags and len(tags) != wanted:
            expected = {
                "words": "one for each word",
                "line": "one for the line",
                "both": "one for the line, then one for each word",
            }[of]
            raise WeftError(
                f"{where}: pair {number:,}: {counted(len(tags), 'tag')} for {counted(len(words), 'word')}; expected "
                f"{wanted}, {expected}: {shortened(source)!r}, {shortened(target)!r}"
            )
        yield " ".join(words), " ".join(tags)


def count(words: int, of: Of) -> int:
    """How many tags a line of so many words has."""
    return {"words": words, "line": 1, "both": words + 1}[of]


def shortened(line: str) -> str:
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."
