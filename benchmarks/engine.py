"""Engines: a process each, asked in turn, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = "WEFT_PEERS"  # name=interpreter, separated by spaces
PATIENCE = 600.0  # seconds to wait for an answer

Record = dict[str, Any]


class EngineError(Exception):
    """An engine ended or did not answer; with the last lines that it wrote."""


@dataclass(frozen=True)
class Program:
    """How an engine is started: a driver, with its arguments."""

    name: str
    driver: str
    arguments: tuple[str, ...] = ()
    threads: int = 1
    package: str | None = None  # that it needs beside what weft has

    def interpreter(self) -> str | None:
        """The Python that has the package, or None."""
        if self.package is None:
            return sys.executable
        named = dict(pair.split("=", 1) for pair in os.environ.get(PEERS, "").split())
        if found := named.get(self.package):
            return found if has_package(found, self.package) else None
        return sys.executable if importlib.util.find_spec(self.package) else None


def has_package(interpreter: str, package: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([interpreter, "-c", code], check=False).returncode == 0


class Engine:
    def __init__(self, program: Program, interpreter: str, folder: Path) -> None:
        self.program = program
        self.log = folder / "logs" / f"{program.name.replace(' ', '-')}-{program.threads}.log"
        self.log.parent.mkdir(exist_ok=True)
        threads = str(program.threads)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "HF_HUB_OFFLINE": "1",
        }
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [interpreter, "-m", f"benchmarks.drivers.{program.driver}", str(folder), *program.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=environment,
            )
        self.pending = b""

    def wait_until_ready(self) -> None:
        self.answer()

    def ask(self, **request: Any) -> Record:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise EngineError(self.last_words()) from None
        return self.answer()

    def answer(self) -> Record:
        assert self.process.stdout is not None
        until = time.monotonic() + PATIENCE
        while b"\n" not in self.pending:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not part:
                raise EngineError(self.last_words() if ready else f"no answer in {PATIENCE:.0f} s")
            self.pending += part
        line, _, self.pending = self.pending.partition(b"\n")
        found: Record = json.loads(line)
        return found

    def last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return " | ".join(line.strip() for line in lines[-3:]) or "ended without a word"

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Bench:
    """Starts engines, asks them, and keeps what could not be had: those absent, and those that failed."""

    def __init__(self, folder: Path, wanted: Sequence[str] | None = None) -> None:
        """`wanted`: what the names of engines begin with, if not all are."""
        self.folder, self.wanted = folder, wanted
        self.absent: set[str] = set()
        self.failed: dict[str, str] = {}

    @contextmanager
    def engines(self, programs: Sequence[Program]) -> Iterator[dict[str, Engine]]:
        """Those that are there, ready, by their names."""
        running: dict[str, Engine] = {}
        try:
            for program in programs:
                if self.wanted and not program.name.lower().startswith(tuple(self.wanted)):
                    continue
                if (interpreter := program.interpreter()) is None:
                    self.absent.add(str(program.package))
                    continue
                engine = running[program.name] = Engine(program, interpreter, self.folder)
                try:
                    engine.wait_until_ready()
                except EngineError as error:
                    self.drop(running, program.name, error)
            yield running
        finally:
            for engine in running.values():
                engine.close()

    def rounds(self, running: dict[str, Engine], count: int, **request: Any) -> dict[str, list[Record]]:
        """The answers of each engine to the same request, so many times, one engine after the other."""
        answers: dict[str, list[Record]] = {name: [] for name in running}
        for number in range(count):
            for name in turned(list(running), number):
                try:
                    answers[name].append(running[name].ask(**request))
                except EngineError as error:
                    self.drop(running, name, error)
                    del answers[name]
        return answers

    def drop(self, running: dict[str, Engine], name: str, error: EngineError) -> None:
        self.failed[name] = str(error)
        print(f"  {name} failed: {error}", flush=True)
        running.pop(name).close()


def turned(names: list[str], by: int) -> list[str]:
    """Another engine begins each round."""
    by %= max(1, len(names))
    return names[by:] + names[:by]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median, over rounds, of our figure by theirs."""
    return median(one / other for one, other in zip(ours, theirs, strict=False))  # one that failed has fewer rounds
