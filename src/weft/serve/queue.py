"""A bounded queue in front of a model: lines of requests that ask for the same search are predicted together.

One thread predicts. What it takes next is the oldest job, and with it whatever else waits for the same search, up
to a number of lines; where there is less, it waits a few milliseconds for more. Each line is padded, capped and
searched by itself, so that company changes no answer (scores agree to the rounding of float32). Company would change
what is drawn, and so that is drawn alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from threading import Condition, Thread
from time import monotonic
from typing import Any, Protocol

from weft.errors import counted
from weft.recipe import Search
from weft.tasks.strategy import draws
from weft.tasks.text import Prediction

LONGEST_WAIT = 60  # seconds, the most that Retry-After says


class Predictor(Protocol):
    """What is asked of a model; `weft.tasks.text.Model` is one."""

    def predict(
        self, lines: Iterable[str], n_best: int = 1, attention: bool = False, **search: Any
    ) -> list[Prediction]: ...


@dataclass(frozen=True)
class Ask:
    """How lines are to be searched. Only jobs with equal asks are predicted together, and none `alone`."""

    search: tuple[tuple[str, Any], ...]
    n_best: int = 1
    attention: bool = False
    alone: bool = False  # samples go by the number of the line in what is predicted at once

    @classmethod
    def of(cls, settings: Search, n_best: int = 1, attention: bool = False) -> Ask:
        return cls(tuple(settings.model_dump().items()), n_best, attention, draws(settings))


@dataclass(frozen=True)
class Bounds:
    """What the queue holds, and how it gathers."""

    waiting_lines: int = 1024
    batch_lines: int = 64
    gather_seconds: float = 0.005


@dataclass(frozen=True, eq=False)
class Job:
    """Lines of one request, and the promise of their predictions."""

    lines: list[str]
    ask: Ask
    future: Future[list[Prediction]] = field(default_factory=Future)
    arrived: float = field(default_factory=monotonic)


class Refusal(Exception):
    """The queue does not take the job; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Full(Refusal):
    """Too many lines wait already."""


class Draining(Refusal):
    """The server is on its way down: what was taken is answered, nothing else is taken."""


class Queue:
    """`start` it, `submit` jobs from any thread, `close` it: that answers what waits, and refuses the rest."""

    def __init__(self, model: Predictor, bounds: Bounds | None = None, threads: int | None = None) -> None:
        self.model = model
        self.bounds = bounds or Bounds()
        self.threads = threads
        self.draining = False
        self.waiting: deque[Job] = deque()
        self.changed = Condition()
        self.seconds_per_line = 0.0
        # A daemon, so that a second Ctrl-C ends the process in the middle of a long search.
        self.worker = Thread(target=self.work, name="weft-predict", daemon=True)

    def start(self) -> None:
        self.worker.start()

    def close(self) -> None:
        """Answer everything that waits, then stop."""
        with self.changed:
            self.draining = True
            self.changed.notify_all()
        if self.worker.is_alive():
            self.worker.join()

    def submit(self, lines: list[str], ask: Ask) -> Future[list[Prediction]]:
        """The promise of one prediction a line, in order; raises Full or Draining.

        A job larger than the whole queue is taken where nothing else waits.
        """
        job = Job(lines, ask)
        with self.changed:
            before = sum(len(other.lines) for other in self.waiting if not other.future.cancelled())
            if self.draining:
                raise Draining("the server is shutting down", self.retry_after(before))
            if before and before + len(lines) > self.bounds.waiting_lines:
                raise Full(f"{counted(before, 'line is', 'lines are')} waiting already", self.retry_after(before))
            self.waiting.append(job)
            self.changed.notify_all()
        return job.future

    def retry_after(self, lines: int) -> int:
        """Seconds until so many lines will have been predicted, going by the last ones."""
        return min(LONGEST_WAIT, max(1, ceil(lines * self.seconds_per_line)))

    def work(self) -> None:
        if self.threads:
            import torch

            torch.set_num_threads(self.threads)
        while jobs := self.next_jobs():
            began = monotonic()
            self.answer(jobs)
            each = (monotonic() - began) / max(1, sum(len(job.lines) for job in jobs))
            self.seconds_per_line = (self.seconds_per_line + each) / 2 if self.seconds_per_line else each

    def next_jobs(self) -> list[Job]:
        """The oldest job and those that go with it; none when the queue is closed and empty."""
        with self.changed:
            while not self.waiting:
                if self.draining:
                    return []
                self.changed.wait()
            until = self.waiting[0].arrived + self.bounds.gather_seconds
            while not self.draining and self.has_room() and (left := until - monotonic()) > 0:
                self.changed.wait(left)
            return self.take()

    def has_room(self) -> bool:
        ask = self.waiting[0].ask
        if ask.alone:
            return False
        return sum(len(job.lines) for job in self.waiting if job.ask == ask) < self.bounds.batch_lines

    def take(self) -> list[Job]:
        taken: list[Job] = []
        left: deque[Job] = deque()
        room = self.bounds.batch_lines
        for job in self.waiting:
            if not taken or (job.ask == taken[0].ask and not job.ask.alone and len(job.lines) <= room):
                taken.append(job)
                room -= len(job.lines)
            else:
                left.append(job)
        self.waiting = left
        return taken

    def answer(self, jobs: list[Job]) -> None:
        self.predict([job for job in jobs if job.future.set_running_or_notify_cancel()])

    def predict(self, jobs: list[Job]) -> None:
        """Keep the promises; where prediction fails, each job is tried alone, so that only the guilty one fails."""
        if not jobs:
            return
        ask = jobs[0].ask
        lines = [line for job in jobs for line in job.lines]
        try:
            predictions = iter(self.model.predict(lines, ask.n_best, ask.attention, **dict(ask.search)))
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:
                self.predict([job])
            return
        for job in jobs:
            job.future.set_result(list(islice(predictions, len(job.lines))))
