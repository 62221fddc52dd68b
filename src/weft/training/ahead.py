"""What is needed next is made while what came before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order; a thread makes one of them beforehand. An error comes in its item's place."""
    with ThreadPoolExecutor(1, "weft-ahead") as thread:
        coming = thread.submit(following, items)
        while found := coming.result():
            coming = thread.submit(following, items)
            yield found[0]


def following(items: Iterator[Item]) -> tuple[Item] | None:
    """The next item, or None after the last; a StopIteration must not leave a thread."""
    for item in items:
        return (item,)
    return None
