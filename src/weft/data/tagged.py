"""Pairs whose target is tags: as many as the source has words, one for the line, or both; or any number of labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from weft.data.factors import shortened, whole_words, words_of
from weft.data.read import Pair
from weft.errors import WeftError, counted
from weft.recipe import Recipe

Of = Literal["words", "line", "both", "labels"]


def shaping(recipe: Recipe) -> dict[str, Any]:
    """Whether targets are sets of labels, which are kept in one order."""
    return {"labels": True} if recipe.tags == "labels" else {}


def tagged(pairs: Iterable[Pair], of: Of, where: str, factored: bool = False) -> Iterator[Pair]:
    """The pairs with single spaces between tagged words; WeftError with a pair's number for too many or too few tags.

    A pair with an empty side goes through as it is. Sources that are `factored` have features beside their words, and
    single spaces already. Labels are a set: each stands once, in alphabetical order.
    """
    for number, (source, target) in enumerate(pairs, 1):
        words, tags = whole_words(words_of(source) if factored else source), target.split()
        if of == "labels":
            yield source, " ".join(sorted(set(tags)))
            continue
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
        yield source if of == "line" or factored else " ".join(words), " ".join(tags)


def count(words: int, of: Literal["words", "line", "both"]) -> int:
    """How many tags a line of so many words has."""
    return {"words": words, "line": 1, "both": words + 1}[of]
