"""Reading ahead changes nothing but the time at which a batch is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from test_noisy_resume import noisy
from test_resume import check_dying_changes_nothing, quiet, tensors

import weft
from weft.training.ahead import ahead
from weft.training.trainer import Trainer

Write = Callable[..., Path]


def test_items_come_in_their_order_and_the_next_is_made_while_one_is_used() -> None:
    made = [Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made[:3]):
            event.set()
            yield number

    found = []
    for number in ahead(items()):
        found.append(number)
        if number < 2:
            assert made[number + 1].wait(10)
    assert found == [0, 1, 2] and not made[3].is_set()


def test_an_error_comes_in_the_place_of_its_item() -> None:
    read = ahead(1 // number for number in (1, 0, 1))
    assert next(read) == 1
    with pytest.raises(ZeroDivisionError):
        next(read)


def test_who_takes_no_more_leaves_no_thread_at_work() -> None:
    asked: list[int] = []
    read = ahead(asked.append(number) or number for number in count())
    assert next(read) == 0
    read.close()
    assert asked == [0, 1]


@pytest.mark.parametrize("epochs", [None, 3])
def test_a_run_that_reads_ahead_is_the_same_run_and_goes_on_exactly(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch, epochs: int | None
) -> None:
    recipe = noisy(recipe_file("rnn", steps=14, epochs=epochs))
    weft.train(recipe, "name=plain", say=quiet)
    batches: Callable[[Trainer], Iterator[Any]] = Trainer.batches
    monkeypatch.setattr(Trainer, "batches", lambda self: ahead(batches(self)))
    check_dying_changes_nothing(recipe, monkeypatch, 10)
    assert tensors(recipe.parent / "runs/whole") == tensors(recipe.parent / "runs/plain")
