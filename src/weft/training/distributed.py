"""Several processes that train one model together, as torchrun starts them.

Each takes its part of every batch. What none may decide alone they agree on; what only one may do, the first does, and
tells the others through torchrun's store. Numbers go over gloo, which notices at once where a process is gone.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from weft.data.batch import Rows
from weft.errors import WeftError, counted
from weft.models.device import device

NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets
START = 600.0  # seconds until all processes must have started
GRACE = 5.0  # seconds in which those that are alive say so
POLL = 0.05  # seconds between looks into the store
SIGNS = ("gloo", "nccl", "connection", "timed out", "broken pipe")  # of what a lost process leaves behind
Answer = TypeVar("Answer")
trainings = count()


class Elsewhere(WeftError):
    """Another process says what is wrong; this one ends without a word."""

    def __init__(self, exit_code: int = 1) -> None:
        super().__init__("")
        self.exit_code = exit_code


class Lost(WeftError):
    """A process is gone or does not come, so that the others cannot go on."""

    exit_code = 1


class Processes:
    """One process among those that train together; `Processes()` is one that trains alone."""

    def __init__(self, rank: int = 0, number: int = 1, local: int = 0, store: Store | None = None) -> None:
        self.rank = rank
        self.number = number
        self.local = local  # its number on its own machine
        self.first = rank == 0
        self.wait = START  # seconds
        self.calls = 0
        if store is not None:
            self.store = store
            store.set(f"host/{rank}", socket.gethostname())

    @property
    def alone(self) -> bool:
        return self.number == 1

    def device(self, name: str) -> torch.device:
        """The device of this process, on CUDA the one with its number on its machine; WeftError where it has none."""
        if self.alone:
            return device(name)
        chosen = device("cuda" if name == "auto" and torch.cuda.is_available() else name)
        if chosen.index is not None or chosen.type == "mps":
            raise WeftError(
                f"training.device is '{name}', but {self.number} processes train together, each on a device of its "
                f"own; expected auto, cpu or cuda"
            )
        if chosen.type == "cpu":
            return chosen
        there = torch.cuda.device_count()
        if self.local >= there:
            raise WeftError(
                f"training.device is '{name}', but rank {self.rank} is process {self.local + 1} of its machine, which "
                f"has {counted(there, 'CUDA device')}; expected torchrun --nproc-per-node {there}"
            )
        return torch.device("cuda", self.local)

    def connect(self, place: torch.device, minutes: float) -> None:
        """Make the group that sums numbers and gradients; from now on, who is waited for longer than that is lost."""
        if self.alone:
            return
        self.wait = 60 * minutes
        backend = "gloo"
        if place.type == "cuda":
            torch.cuda.set_device(place)
            backend = "cpu:gloo,cuda:nccl"
        with self.phase("connecting"):
            dist.init_process_group(
                backend,
                store=self.store,
                rank=self.rank,
                world_size=self.number,
                timeout=timedelta(seconds=self.wait),
            )

    def share(self, rows: Rows) -> Rows:
        """The part of a batch's rows that is for this process: every so many-th, so that all have like lengths."""
        return rows[self.rank :: self.number]

    def seed(self, seed: int, step: int) -> None:
        """Random numbers of this process alone, found again from the seed, the step and its rank."""
        if not self.alone:
            torch.manual_seed(int(np.random.default_rng((seed, step, self.rank)).integers(2**63)))

    def sums(self, phase: str, *values: float) -> list[float]:
        """Of each value the sum over all processes."""
        if self.alone:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        with self.phase(phase):
            dist.all_reduce(numbers)
        found: list[float] = numbers.tolist()
        return found

    def from_first(self, phase: str, work: Callable[[], Answer]) -> Answer:
        """What `work` gives to the first process, in all of them; where it raises a WeftError, all end."""
        answer: Answer = self.answer(phase, work, "first", self.first, self.wait)
        return answer

    def from_any(self, phase: str, reason: Answer) -> Answer:
        """The reason of the first process that has one, in all of them; one must."""
        if self.alone:
            return reason
        self.calls += 1
        key = f"{self.calls}/reasons"
        self.put(f"{key}/{self.rank}", reason)
        found: list[Answer] = [self.read(f"{key}/{rank}", phase, self.wait) for rank in range(self.number)]
        return next(filter(None, found))

    def one_on_each_machine(self, phase: str, work: Callable[[], Answer], lock: Path) -> Answer:
        """Have one process of each machine do what leaves its result in a folder, then the others, who find it there.

        Machines that share the folder take turns by its lock. This may take as long as it takes.
        """
        if self.alone:
            return work()

        def locked() -> Answer:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with open(lock, "a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                return work()

        if self.local == 0:
            answer: Answer = self.answer(phase, locked, f"machine {self.rank}", True, None, tells=False)
            return answer
        self.answer(phase, work, f"machine {self.rank - self.local}", False, None)
        return work()

    def answer(
        self, phase: str, work: Callable[[], Any], of: str, mine: bool, limit: float | None, tells: bool = True
    ) -> Any:
        if self.alone:
            return work()
        self.calls += 1
        key = f"{self.calls}/{of}"
        if not mine:
            found, exit_code = self.read(key, phase, limit)
            if exit_code:
                raise Elsewhere(exit_code)
            return found
        try:
            found = work()
        except WeftError as error:
            self.put(key, (None, error.exit_code))
            raise
        self.put(key, (found if tells else None, 0))
        return found

    def put(self, key: str, value: Any) -> None:
        self.store.set(key, pickle.dumps(value).hex())

    def read(self, key: str, phase: str, limit: float | None) -> Any:
        """What another process puts into the store under this key, once it does."""
        began = time.monotonic()
        with self.phase(phase):
            while not self.store.check([key]):
                over = self.store.check(["failed"]) or (limit and time.monotonic() - began > limit)
                if over and not self.store.check([key]):  # it may have been put just before
                    raise self.lost(phase)
                time.sleep(POLL)
            return pickle.loads(bytes.fromhex(self.store.get(key).decode()))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Where a process is lost in here, Lost names it, and what the others were waiting in."""
        try:
            yield
        except (RuntimeError, ConnectionError) as error:
            if self.alone or not of_connection(error):
                raise
            raise self.lost(name) from None

    def lost(self, phase: str) -> WeftError:
        """Every process that waits in vain says so; the others are those that are lost. One of them tells."""
        began = time.monotonic()
        try:
            self.store.set(f"waits/{self.rank}", phase)
            while True:
                waiting = [rank for rank in range(self.number) if self.store.check([f"waits/{rank}"])]
                if len(waiting) == self.number or time.monotonic() - began > GRACE:
                    break
                time.sleep(POLL)
            if self.rank != waiting[0]:
                return Elsewhere()
            gone = [rank for rank in range(self.number) if rank not in waiting]
            told = "; ".join(map(self.fate, gone)) or "the connection between the processes broke"
        except (RuntimeError, ConnectionError):
            told = "rank 0 or its machine is gone"
        return Lost(
            f"{told}. Rank {self.rank} ({socket.gethostname()}) was waiting in: {phase}. "
            f"The last state is whole; the same command goes on from it"
        )

    def fate(self, rank: int) -> str:
        key = f"failed/{rank}"
        host = self.store.get(f"host/{rank}").decode() if self.store.check([f"host/{rank}"]) else "never started"
        how = self.store.get(key).decode() if self.store.check([key]) else "killed, or it hangs"
        return f"rank {rank} ({host}) is lost: {how}"

    def fail(self, error: BaseException) -> None:
        """Leave word of why this process ends."""
        told = str(error) if isinstance(error, WeftError) else f"{type(error).__name__}: {error}"
        try:
            self.store.set(f"failed/{self.rank}", told)
            self.store.set("failed", "")
        except (RuntimeError, ConnectionError):
            pass

    def disconnect(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()

    def part(self) -> None:
        """Leave after an error: the first process waits a while, so that the others can read of it in its store."""
        self.disconnect()
        others = [f"left/{rank}" for rank in range(1, self.number)]
        began = time.monotonic()
        try:
            self.put(f"left/{self.rank}", None)
            while self.first and not self.store.check(others) and time.monotonic() - began < GRACE:
                time.sleep(POLL)
        except (RuntimeError, ConnectionError):
            pass

    def leave(self) -> None:
        """End together: the store may be in the first process, which must not be gone before the others are."""
        self.disconnect()
        self.put(f"left/{self.rank}", None)
        if self.first:
            for rank in range(1, self.number):
                self.read(f"left/{rank}", "leaving", self.wait)


@contextmanager
def together() -> Iterator[Processes]:
    """The processes that torchrun has started to train together, or this one alone."""
    given = {name: os.environ.get(name, "") for name in NEEDED}
    if given["WORLD_SIZE"] in ("", "1"):
        yield Processes()
        return
    for name, value in given.items():
        if not value or (name != "MASTER_ADDR" and not value.isdecimal()):
            raise WeftError(
                f"WORLD_SIZE is {given['WORLD_SIZE']}, but {name} is {value or 'not set'}; several processes are "
                f"started by torchrun --nproc-per-node N -m weft train ..."
            )
    store = PrefixStore(f"weft/{next(trainings)}", common_store())
    processes = Processes(int(given["RANK"]), int(given["WORLD_SIZE"]), int(given["LOCAL_RANK"]), store)
    try:
        yield processes
    except Lost:
        raise
    except Elsewhere:
        processes.part()
        raise
    except BaseException as error:
        processes.fail(error)
        if isinstance(error, WeftError):
            processes.part()
        raise
    processes.leave()


@cache
def common_store() -> Store:
    """torchrun's store; without its agent the first process has it."""
    try:
        store: Store = next(rendezvous("env://", timeout=timedelta(seconds=START)))[0]
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']} port {os.environ['MASTER_PORT']}"
        raise Lost(f"rank {os.environ['RANK']} has not met the other processes at {where}: {error}") from None
    return store


def of_connection(error: BaseException) -> bool:
    return isinstance(error, dist.DistError | ConnectionError) or any(sign in str(error).lower() for sign in SIGNS)
