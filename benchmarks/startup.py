"""What is not a step: start-up, data preparation, padding."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from statistics import median

from benchmarks.engine import ROOT, Record
from benchmarks.work import Work, padding
from weft.data.corpus import prepare, silent
from weft.training.train import train

FIRST_STEP = """
import os, sys, time
from weft.training import train as training
from weft.training.trainer import Trainer

def end_after(self, *arguments, update=Trainer.update):
    update(self, *arguments)
    print("first", time.time(), flush=True)
    os._exit(0)

Trainer.update = end_after
training.train(sys.argv[1], f"out={sys.argv[2]}", "training.steps=1000")
"""


def measure(work: Work, rounds: int) -> Record:
    found: Record = {
        "help_seconds": median(timed([sys.executable, "-m", "weft", "--help"]) for _ in range(rounds)),
        "first_step_seconds": median(first_step(work) for _ in range(rounds)),
        "prediction_seconds": median(prediction(work, rounds)),
        "preparation": preparation(work),
        "padding_share": padding(work.data, work.recipe("transformer")),
    }
    print(f"  weft --help {found['help_seconds']:.2f} s; first step on cached data {found['first_step_seconds']:.2f} s")
    print(f"  one line through weft predict {found['prediction_seconds']:.2f} s")
    for name, rate in found["preparation"].items():
        print(f"  preparation, {name.replace('_', ' ')}: {rate:,.0f}")
    print(f"  padding {found['padding_share']:.1%} of positions", flush=True)
    return found


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}


def timed(command: list[str], line: str = "") -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, input=line, text=True, stdout=subprocess.DEVNULL, env=environment())
    return time.perf_counter() - began


def first_step(work: Work) -> float:
    """Seconds from the command to the end of the first update; the data is in the cache."""
    out = work.folder / "first"
    began = time.time()
    result = subprocess.run(
        [sys.executable, "-c", FIRST_STEP, str(work.recipe_file("transformer")), str(out)],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    shutil.rmtree(out)
    return float(result.stdout.split()[-1]) - began


def prediction(work: Work, rounds: int) -> list[float]:
    """Seconds from the command to the answer to one line: importing, loading the model, searching, leaving."""
    out = work.folder / "one-step"
    train(str(work.recipe_file("transformer")), f"out={out}", "name=run", "training.steps=1", say=silent)
    seconds = [timed([sys.executable, "-m", "weft", "predict", str(out / "run")], "a man\n") for _ in range(rounds)]
    shutil.rmtree(out)
    return seconds


def preparation(work: Work) -> dict[str, float]:
    """Pairs a second from files to a corpus on disk, with the vocabulary learnt and with one that is known."""
    pairs = work.data.counts.read
    rates = {}
    before = os.environ["WEFT_CACHE"]
    for name, known in (("pairs_per_second", None), ("pairs_per_second_with_a_vocabulary", work.data)):
        cache = work.folder / "preparation"
        os.environ["WEFT_CACHE"] = str(cache)
        began = time.perf_counter()
        prepare(work.recipe("transformer"), (known.source, known.target) if known else None)
        rates[name] = pairs / (time.perf_counter() - began)
        shutil.rmtree(cache)
    os.environ["WEFT_CACHE"] = before
    return rates
