"""Conversations as pairs: the turns that came before, and the answer to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weft.data.cells import checked, short
from weft.errors import WeftError, counted, nearest
from weft.recipe import Columns

TURN = "<turn>"  # stands between turns, with a space on each side
TEXTS = ("text", "content")  # keys of what a turn says


def answers_in(item: object, turns: int, columns: Columns, place: str) -> Iterator[tuple[str, str]]:
    """Each answer of a conversation as a target, up to so many turns before it as its source.

    Where nothing is an answer, the last turns go with an empty target, so that the pair is counted. Raises WeftError
    for what is no conversation, and for a turn that holds `TURN`.
    """
    between = f" {TURN} "
    parts = conversation(item, columns, place)
    said = [turn(part, columns.answers, f"{place}: turn {number}") for number, part in enumerate(parts, 1)]
    texts = [text for text, _ in said]
    answers = [n for n, (_, may_answer) in enumerate(said) if n and may_answer]
    for n in answers:
        yield between.join(texts[:n][-turns:]), texts[n]
    if not answers:
        yield between.join(texts[-turns:]), ""


def conversation(item: object, columns: Columns, place: str) -> list[Any]:
    """The list of turns, which is the item itself or stands under a key of it."""
    if isinstance(item, list):
        return item
    if not isinstance(item, dict):
        raise WeftError(f"{place}: {short(item)} is no conversation; expected such as {{'turns': ['hello', 'hi']}}")
    lists = [key for key, value in item.items() if isinstance(value, list)]
    if isinstance(columns.source, str):
        if columns.source not in item:
            there = ", ".join(item) or "none"
            raise WeftError(f"{place}: no key '{columns.source}'; the keys are {there}{nearest(columns.source, item)}")
        key = columns.source
    elif isinstance(columns.source, int) and 1 <= columns.source <= len(lists):
        key = lists[columns.source - 1]
    else:
        raise WeftError(
            f"{place}: no key {columns.source} with a list of turns: {counted(len(lists), 'such key')} found"
        )
    if not isinstance(item[key], list):
        raise WeftError(f"{place}: '{key}' is {short(item[key])}; expected a list of turns")
    return list(item[key])


def turn(part: object, answers: str | None, place: str) -> tuple[str, bool]:
    """What a turn says, and whether it may be an answer."""
    given = part if isinstance(part, dict) else {"text": part}
    key = next((key for key in TEXTS if key in given), None)
    if key is None:
        raise WeftError(f"{place}: {short(part)} has no 'text' and no 'content'")
    line = checked(given[key], key, place)
    if TURN in line:
        raise WeftError(f"{place}: '{key}' holds {TURN}, which stands between turns: {short(line)}")
    if answers is None:
        return line, True
    if "role" not in given:
        raise WeftError(f"{place}: {short(part)} has no 'role', but data.columns.answers is '{answers}'")
    return line, given["role"] == answers
