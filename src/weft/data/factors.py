"""What stands beside the words of a source: columns of features, and what is read off the words themselves.

A line is `words TAB features TAB features ...`, with as many features in each column as there are words, so that it
goes wherever a line of words alone does. Letters: W words, F factors of each.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import WeftError, counted
from weft.files import replaced, write_text

if TYPE_CHECKING:
    from weft.recipe import Recipe

UNK, END = 1, 2
SPECIAL = ["<pad>", "<unk>", "</s>"]
SHOWN = 60  # characters of a line

Ids = NDArray[np.int32]


def shape(word: str) -> str:
    """`Xx` of `Paris`, `X.X.` of `U.S.`, `d-xx` of `30-year`: kinds of characters, of like ones two at most."""
    kinds = "".join("X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else c for c in word)
    return "".join("".join(run)[:2] for _, run in groupby(kinds))


DERIVED: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "shape": shape,
    "prefix2": lambda word: word[:2],
    "prefix3": lambda word: word[:3],
    "suffix2": lambda word: word[-2:],
    "suffix3": lambda word: word[-3:],
}


def whole_words(line: str) -> list[str]:
    """The words of a line that tags or features stand beside, each of which stays one in pieces.

    U+2581, which stands for a space there, becomes an underscore.
    """
    return line.replace("\u2581", "_").split()


def words_of(line: str) -> str:
    """The words of a line that may have features beside them."""
    return line.partition("\t")[0]


def factored(cells: Sequence[str], columns: int, place: str) -> str:
    """One line of words and so many columns of features, with single spaces; nothing where there are no words.

    WeftError, with the place, for other columns than there are to be and for more or fewer features than words.
    """
    words, *features = whole_words(cells[0]), *(cell.split() for cell in cells[1:])
    if not any((words, *features)):
        return ""
    if len(features) != columns:
        raise WeftError(
            f"{place}: {counted(len(features), 'column')} of features beside the words; expected {columns}, each "
            f"after a tab: {shortened(cells[0])!r}"
        )
    for column in features:
        if len(column) != len(words):
            raise WeftError(
                f"{place}: {counted(len(column), 'feature')} for {counted(len(words), 'word')}; expected one for each: "
                f"{shortened(' '.join(words))!r}, {shortened(' '.join(column))!r}"
            )
    return "\t".join(" ".join(cell) for cell in (words, *features))


def shortened(line: str) -> str:
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."


def shaping(recipe: Recipe, given: Factors | None) -> dict[str, Any]:
    """Which features stand beside words; `given` are those of a vocabulary that is not learnt."""
    if not recipe.factors:
        return {}
    return {"factors": given.record() if given else recipe.vocabulary.factors.model_dump()}


class Factors:
    """The features of each factor, first those of columns, then those derived; what was never seen is unknown."""

    def __init__(self, columns: int, derived: Sequence[str], features: Sequence[Sequence[str]]) -> None:
        """`features` of each factor begin with the special ones."""
        self.columns = columns
        self.derived = list(derived)
        self.features = [list(of_factor) for of_factor in features]
        self.numbers = [{feature: i for i, feature in enumerate(of_factor)} for of_factor in self.features]

    def __reduce__(self) -> tuple[type[Factors], tuple[int, list[str], list[list[str]]]]:
        return Factors, (self.columns, self.derived, self.features)

    @classmethod
    def learn(cls, lines: Iterable[str], columns: int, derived: Sequence[str], size: int) -> Factors:
        """At most so many features of each factor, those that are most often there."""
        counts: list[Counter[str]] = [Counter() for _ in range(columns + len(derived))]
        for line in lines:
            for count, features in zip(counts, split(line, derived), strict=True):
                count.update(features)
        ordered = (sorted(count, key=lambda feature: (-count[feature], feature)) for count in counts)
        return cls(columns, derived, [[*SPECIAL, *of_factor][:size] for of_factor in ordered])

    @property
    def sizes(self) -> list[int]:
        return [len(of_factor) for of_factor in self.features]

    def ids(self, line: str) -> Ids:
        """(W,F)"""
        if not line:
            return np.zeros((0, len(self.features)), np.int32)
        found = [
            [numbers.get(feature, UNK) for feature in features]
            for numbers, features in zip(self.numbers, split(line, self.derived), strict=True)
        ]
        return np.array(found, np.int32).T

    def record(self) -> dict[str, Any]:
        return {"columns": self.columns, "derived": self.derived, "features": self.features}

    def save(self, path: Path) -> None:
        with replaced(path) as beside:
            write_text(beside, json.dumps(self.record(), ensure_ascii=False))

    @classmethod
    def load(cls, path: Path) -> Factors:
        """What `save` wrote; WeftError where it is missing or damaged."""
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise WeftError(f"{path}: no such file; it holds the features that stand beside the words") from None
        except (OSError, ValueError, TypeError) as error:
            raise WeftError(f"{path}: damaged: {error}") from None


def split(line: str, derived: Sequence[str]) -> list[list[str]]:
    """The features of each factor, one a word."""
    words, *columns = (cell.split() for cell in line.split("\t"))
    return [*columns, *([DERIVED[name](word) for word in words] for name in derived)]
