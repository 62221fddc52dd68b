"""How an engine's process takes its turns: a request a line comes in, an answer a line goes out, both JSON.

What an engine prints goes to standard error. This file needs nothing but Python, so that any engine's interpreter
can run it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Turns:
    """The channel to the benchmark; made before an engine is imported, so that nothing else is written to it."""

    def __init__(self) -> None:
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def answer(self, **what: Any) -> None:
        self.out.write(json.dumps(what | {"peak_mb": peak_memory()}) + "\n")
        self.out.flush()

    def request(self) -> dict[str, Any]:
        """The next request; when there is none any more, the process ends."""
        line = sys.stdin.readline()
        if not line:
            sys.stderr.flush()
            os._exit(0)
        found: dict[str, Any] = json.loads(line)
        return found

    def serve(self, work: Callable[..., dict[str, Any]]) -> None:
        """Answer every request with what `work` makes of it."""
        self.answer(ready=True)
        while True:
            self.answer(**work(**self.request()))


class StepTurns:
    """Turns for a training loop that is not ours: it runs so many steps as it is asked for, then waits.

    Its first steps, WARM of them, are not measured.
    """

    WARM = 2

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.left = self.WARM
        self.warming = True
        self.steps = self.tokens = 0
        self.began = 0.0

    def add(self, tokens: int) -> None:
        """So many target tokens, ends among them, are in the step that goes on."""
        self.tokens += tokens

    def stepped(self, *_: Any) -> None:
        self.steps += 1
        self.left -= 1
        if self.left > 0:
            return
        if self.warming:
            self.turns.answer(ready=True)
            self.warming = False
        else:
            self.turns.answer(seconds=time.perf_counter() - self.began, tokens=self.tokens, steps=self.steps)
        self.left = self.turns.request()["steps"]
        self.steps = self.tokens = 0
        self.began = time.perf_counter()

    def follow_optimizers(self) -> None:
        """Take each step of any PyTorch optimiser as a step of the loop."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(self.stepped)


def peak_memory() -> float:
    """The most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def read_work(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "work.json").read_text("utf-8"))
    return found


def read_ids(path: Path) -> list[list[int]]:
    return [[int(i) for i in line.split()] for line in path.read_text("utf-8").splitlines()]
