"""What each process of a test runs: several trainings after one another, some of them disturbed.

python ranks.py DISTURBANCE RECIPE OVERRIDES... [-- DISTURBANCE RECIPE OVERRIDES...]
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

import weft
from weft.errors import WeftError
from weft.models.seq2seq import Seq2Seq
from weft.training.distributed import Lost
from weft.training.trainer import Trainer

RANK = int(os.environ["RANK"])
loss, update = Seq2Seq.loss, Trainer.update


def little_memory(self: Seq2Seq, batch: Any, *how: Any, **more: Any) -> Any:
    """The second process has room for four pairs while it trains."""
    if RANK == 1 and self.training and len(batch.rows) > 4:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return loss(self, batch, *how, **more)


def bad_loss(self: Seq2Seq, batch: Any, *how: Any, **more: Any) -> Any:
    """The second process has a loss that is no number."""
    total, tokens = loss(self, batch, *how, **more)
    return (total * torch.nan if RANK == 1 and self.training else total), tokens


def stopped(signal_number: int, step: int) -> Any:
    """The second process gets a signal in the middle of a step."""

    def updated(self: Trainer, *given: Any) -> None:
        if RANK == 1 and self.progress.step == step - 1:
            os.kill(os.getpid(), signal_number)
        update(self, *given)

    return updated


def raising(self: Trainer, *given: Any) -> None:
    if RANK == 1 and self.progress.step == 9:
        raise ValueError("a fault of its own")
    update(self, *given)


DISTURBED: dict[str, tuple[type, str, Any]] = {
    "none": (Trainer, "update", update),
    "memory": (Seq2Seq, "loss", little_memory),
    "nan": (Seq2Seq, "loss", bad_loss),
    "sigterm": (Trainer, "update", stopped(signal.SIGTERM, 7)),
    "sigkill": (Trainer, "update", stopped(signal.SIGKILL, 10)),
    "sigstop": (Trainer, "update", stopped(signal.SIGSTOP, 10)),
    "fault": (Trainer, "update", raising),
}


def run(disturbance: str, recipe: str, *overrides: str) -> None:
    where, name, what = DISTURBED[disturbance]
    before = getattr(where, name)
    setattr(where, name, what)
    try:
        weft.train(Path(recipe), *overrides)
    finally:
        setattr(where, name, before)


if __name__ == "__main__":
    torch.set_num_threads(1)
    code = 0
    for more, words in groupby(sys.argv[1:], "--".__eq__):
        if more:
            continue
        try:
            run(*words)
        except WeftError as error:
            code = error.exit_code
            print(f"rank {RANK} ends with {code}", file=sys.stderr)
            if str(error):
                print(f"weft: {error}", file=sys.stderr)
            if isinstance(error, Lost):
                break
    sys.exit(code)
