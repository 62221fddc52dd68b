"""Blocks are worked on elsewhere and come back in order; nothing is left behind, whatever goes wrong."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import weft.data.workers
from weft.data.workers import Workers
from weft.errors import WeftError


class Work:
    """What a worker does; it is imported there by its name."""

    def __init__(self, does: Callable[[int], object]) -> None:
        self.does = does

    def __call__(self, block: int) -> object:
        return self.does(block)


def slow_if_even(block: int) -> tuple[int, int]:
    time.sleep(0.02 * (block % 2 == 0))
    return block * block, os.getpid()


def refuses_seven(block: int) -> int:
    if block == 7:
        raise WeftError("seven is not wanted")
    return block


def dies(block: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def prints(block: int) -> int:
    print("this is not an answer")
    return block


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


@pytest.fixture(autouse=True)
def from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.data.workers, "FEW", 1)


def test_a_module_in_the_current_folder_is_not_taken_for_pythons_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    with Workers(2) as workers:
        assert [result for _, result in workers.each(prints, range(4))] == list(range(4))


def test_results_come_in_the_order_of_the_blocks_from_several_processes() -> None:
    with Workers(3) as workers:
        for work in (Work(slow_if_even), Work(slow_if_even)):
            found = list(workers.each(work, range(12)))
            assert [(block, result[0]) for block, result in found] == [(n, n * n) for n in range(12)]
        processes = {result[1] for _, result in found}
    assert len(processes) == 3 and os.getpid() not in processes
    assert not any(map(alive, processes))


def test_few_blocks_and_one_thread_need_no_process() -> None:
    for count, blocks in ((1, 5), (3, 1)):
        with Workers(count) as workers:
            assert {result[1] for _, result in workers.each(slow_if_even, range(blocks))} == {os.getpid()}


def test_blocks_are_asked_for_only_as_they_can_be_worked_on() -> None:
    asked = []

    def blocks() -> object:
        for number in range(50):
            asked.append(number)
            yield number

    with Workers(2) as workers:
        results = workers.each(slow_if_even, blocks())  # type: ignore[arg-type]
        for _ in range(10):
            next(results)
        assert len(asked) <= 10 + 2


def test_an_error_in_a_worker_is_raised_here() -> None:
    with Workers(2) as workers, pytest.raises(WeftError, match="seven is not wanted"):
        list(workers.each(refuses_seven, range(20)))
    assert not any(alive(process.running.pid) for process in workers.processes)


def test_a_worker_that_dies_is_named() -> None:
    with Workers(2) as workers, pytest.raises(WeftError, match=r"was ended by SIGKILL.*training\.threads"):
        list(workers.each(Elsewhere(os.getpid()), range(20)))


class Elsewhere:
    """Dies, but not in the process that it came from."""

    def __init__(self, home: int) -> None:
        self.home = home

    def __call__(self, block: int) -> None:
        if os.getpid() != self.home:
            dies(block)


def test_what_a_worker_prints_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    with Workers(2) as workers:
        assert [result for _, result in workers.each(prints, range(6))] == list(range(6))
    assert "this is not an answer" in capfd.readouterr().err
