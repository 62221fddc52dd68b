"""Several processes that predict the lines of one input, each on one thread."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from signal import Signals
from types import TracebackType
from typing import Any

import torch

from weft.data.direction import Direction
from weft.data.workers import environment, python
from weft.errors import WeftError
from weft.models.product import Weights
from weft.tasks.line import Line, lines_of
from weft.tasks.prediction import Prediction
from weft.tasks.text import load

SHARE = 512  # lines that a worker gets at once


@dataclass(frozen=True)
class Job:
    """What each worker loads, and how it predicts."""

    folders: Sequence[str]
    weights: Weights = "float32"
    n_best: int = 1
    attention: bool = False
    direction: Direction = "forward"
    search: dict[str, Any] | None = None
    shortlist: bool = False


class Worker:
    """A process of its own session, which Ctrl-C does not reach, and which ends as soon as its input does."""

    def __init__(self, number: int, job: Job) -> None:
        self.number = number
        self.process = subprocess.Popen(
            python("from weft.tasks.workers import serve; serve()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        self.job: Job | None = job  # until it is told

    def predict(self, lines: list[Line]) -> list[Prediction]:
        """WeftError as the worker raised it, or because there is no worker any more."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            if self.job:
                pickle.dump(self.job, self.process.stdin)
                self.job = None
            pickle.dump(lines, self.process.stdin)
            self.process.stdin.flush()
            answer: list[Prediction] | WeftError = pickle.load(self.process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise WeftError(f"worker {self.number} ended before its lines were done: {self.how_it_ended()}") from None
        if isinstance(answer, WeftError):
            raise answer
        return answer

    def how_it_ended(self) -> str:
        code = self.process.wait()
        return f"killed by {Signals(-code).name}" if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Workers:
    """`with Workers(count, job) as workers`: on leaving, all of them are gone."""

    def __init__(self, count: int, job: Job) -> None:
        if count < 1:
            raise WeftError(f"--workers is {count}; expected 1 or more")
        self.all = [Worker(number, job) for number in range(1, count + 1)]
        self.idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.all:
            self.idle.put(worker)
        self.threads = ThreadPoolExecutor(count)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self.all:
            worker.stop()
        self.threads.shutdown(cancel_futures=True)

    def stream(
        self,
        lines: Iterable[str],
        prefix: Iterable[str] | None = None,
        must: Iterable[Sequence[str]] | None = None,
        never: Iterable[Sequence[str]] | None = None,
    ) -> Iterator[Prediction]:
        """One Prediction a line, in order, as `Model.stream`; no more than two shares a worker are held at a time."""
        rest = lines_of(lines, prefix, must, never)
        asked: deque[Future[list[Prediction]]] = deque([self.threads.submit(self.share, [])])  # finds a bad model
        while share := list(islice(rest, SHARE)):
            asked.append(self.threads.submit(self.share, share))
            if len(asked) >= 2 * len(self.all):
                yield from asked.popleft().result()
        while asked:
            yield from asked.popleft().result()

    def share(self, lines: list[Line]) -> list[Prediction]:
        worker = self.idle.get()
        try:
            return worker.predict(lines)
        finally:
            self.idle.put(worker)


def serve() -> None:
    """What a worker does: a Job comes in, then lines for which predictions go out."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed comes between the answers
    torch.set_num_threads(1)
    job: Job = pickle.load(sys.stdin.buffer)
    model = None
    while True:
        try:
            lines: list[Line] = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: list[Prediction] | WeftError
        try:
            folders = job.folders if len(job.folders) > 1 else job.folders[0]
            model = model or load(folders, weights=job.weights, shortlist=job.shortlist)
            strategy = model.strategy(job.n_best, job.search or {})
            answer = model.answers(lines, strategy, job.n_best, job.attention, job.direction)
        except WeftError as error:
            answer = error
        try:
            pickle.dump(answer, answers)
            answers.flush()
        except BrokenPipeError:
            return
