"""The one exception that a user can cause, and what its messages are made of."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

BAD_INPUT = 2


class WeftError(Exception):
    """Something a user gave is wrong: printed as one message, without a traceback, exit code 2."""

    exit_code = BAD_INPUT


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'layers'?` for the closest of `words`, or nothing where none is close."""
    close = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def counted(number: int, one: str, more: str = "") -> str:
    """`1 pair` or `1,200 pairs`; with a verb, `pair was` and `pairs were`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
