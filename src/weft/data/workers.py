"""Work on blocks that other processes share, with results in the order of the blocks, whatever their number."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from weft.errors import WeftError

FEW = 4  # blocks that are not worth a process
SERVE = "from weft.data.workers import serve; serve()"

Block = TypeVar("Block")
Result = TypeVar("Result")


class Workers:
    """So many processes, started once there is much to do; none of them outlives the `with` that it was started in."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen = 0  # blocks
        self.processes: list[Process] = []

    def each(self, work: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[tuple[Block, Result]]:
        """Each block with what `work`, which can be pickled, makes of it; an exception there is raised here."""
        waiting: deque[tuple[Block, Process]] = deque()
        for block in blocks:
            self.seen += 1
            if self.count == 1 or self.seen <= FEW:
                yield block, work(block)
                continue
            if len(waiting) == self.count:
                yield done(waiting)
            process = self.free({id(process) for _, process in waiting})
            process.send(work, block)
            waiting.append((block, process))
        while waiting:
            yield done(waiting)

    def free(self, busy: set[int]) -> Process:
        for process in self.processes:
            if id(process) not in busy:
                return process
        self.processes.append(Process())
        return self.processes[-1]

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.end()


def done(waiting: deque[tuple[Block, Process]]) -> tuple[Block, Any]:
    block, process = waiting.popleft()
    return block, process.result()


class Process:
    """One worker, which has at most one block at a time."""

    def __init__(self) -> None:
        self.running = subprocess.Popen(
            python(SERVE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        assert self.running.stdin is not None and self.running.stdout is not None
        self.asks, self.answers = self.running.stdin, self.running.stdout
        self.work: object = None

    def send(self, work: object, block: object) -> None:
        try:
            pickle.dump((None if work is self.work else work, block), self.asks, pickle.HIGHEST_PROTOCOL)
            self.asks.flush()
        except BrokenPipeError:
            raise self.died() from None
        self.work = work

    def result(self) -> object:
        try:
            result, error = pickle.load(self.answers)
        except (EOFError, pickle.UnpicklingError):
            raise self.died() from None
        if error is not None:
            raise error
        return result

    def died(self) -> WeftError:
        code = self.running.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return WeftError(
            f"a process that prepares data {how}; with too little memory for {os.cpu_count()} of them, "
            f"set training.threads to fewer"
        )

    def end(self) -> None:
        self.running.kill()
        self.running.wait()
        self.answers.close()
        with suppress(BrokenPipeError):
            self.asks.close()


def python(code: str) -> list[str]:
    """The command that runs some code, whatever modules the current folder has: `random.py` there is not Python's."""
    return [sys.executable, "-P", "-c", code]


def environment() -> dict[str, str]:
    """That of a process of one thread which imports what this one does."""
    path = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def serve() -> None:
    """Do what comes on standard input until it ends, and answer on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one hears it too, and ends this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work: Any = None
    try:
        while True:
            given, block = pickle.load(sys.stdin.buffer)
            work = work if given is None else given
            answer: tuple[Any, Exception | None]
            try:
                answer = work(block), None
            except Exception as error:
                answer = None, error
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)
