"""Which cells of a row are a side of a pair, and their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.errors import WeftError, counted, nearest


def listed(columns: str | int | list[str | int]) -> list[str | int]:
    return columns if isinstance(columns, list) else [columns]


def place_of(column: str | int, header: list[str], name: str) -> int:
    """The place from 0 of a column given by its name or its number from 1."""
    if isinstance(column, int):
        if column < 1:
            raise WeftError(f"data.columns: there is no column {column}; columns are numbered from 1")
        return column - 1
    if column not in header:
        there = ", ".join(repr(other) for other in header)
        place = name if name.endswith(".parquet") else f"{name}:1"
        raise WeftError(f"{place}: no column '{column}'; the columns are {there}{nearest(column, header)}")
    return header.index(column)


def key_of(column: str | int, item: dict[str, Any], place: str) -> str:
    if isinstance(column, str):
        return column
    keys = [key for key, value in item.items() if isinstance(value, str)]
    if "source" in keys and "target" in keys:
        keys = ["source", "target", *(key for key in keys if key not in ("source", "target"))]
    if not 1 <= column <= len(keys):
        turns = any(isinstance(value, list) for value in item.values())
        hint = "; conversations are read with data.columns.turns=3" if turns else ""
        raise WeftError(f"{place}: no key {column} with a string: {counted(len(keys), 'such key')} found{hint}")
    return keys[column - 1]


def joined(item: Mapping[str, object], keys: Sequence[str], place: str) -> str:
    return " ".join([checked(item[key], key, place) for key in keys])


def checked(value: object, key: str, place: str) -> str:
    """A value of JSON or Parquet as one line of text."""
    if not isinstance(value, str):
        raise WeftError(f"{place}: '{key}' is {short(value)}; expected a string")
    if "\n" in value:
        raise WeftError(f"{place}: '{key}' holds a line break: {short(value)}; each side of a pair is one line")
    if "\0" in value:
        raise WeftError(f"{place}: '{key}' holds a zero character: {short(value)}; expected text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise WeftError(f"{place}: '{key}' holds half a character, U+{ord(value[error.start]):04X}") from None
    return value


def short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
