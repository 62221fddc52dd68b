"""Measure weft beside its peers: the same pairs, models, batches and weights, in turns, in one run.

    make bench                                          # invented pairs
    make bench ARGS="--data train.en train.de --test test.en"
    python -m benchmarks.bench --only decoding --threads 1
    make bench QUICK=1                                  # tiny, to see that everything runs

Peers are looked for in this Python, and in those that WEFT_PEERS names:
    WEFT_PEERS="ctranslate2=/venvs/ct2/bin/python joeynmt=/venvs/joeynmt/bin/python"
with the names ctranslate2, transformers, joeynmt and eole. What is not there is said to be absent.

It writes results.json and results.png. Ratios are medians over rounds; compare no figures of different runs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import chart, decoding, machine, startup, training
from benchmarks.engine import Bench, Record
from benchmarks.work import QUICK, Size, Work, invented
from weft.files import write_text

PARTS = ("training", "decoding", "startup")


def main() -> None:
    options = arguments()
    began = time.monotonic()
    out = (options.out or Path("runs/bench-quick" if options.quick else "runs/bench")).resolve()
    os.environ["WEFT_CACHE"] = str(out / "cache")
    size = QUICK if options.quick else Size()
    if options.learn:
        size = replace(size, learning_steps=options.learn)
    if options.data:
        train, test = (options.data[0].resolve(), options.data[1].resolve()), options.test.resolve()
    else:
        train, test = invented(out / "pairs", size)
    work = Work(out, size, train, test)
    work.write()
    bench = Bench(out, options.engines)
    results: Record = {"machine": machine.described(), "size": asdict(size), "data": "own" if options.data else "made"}
    for part in options.only:
        if part == "training":
            results[part] = training.measure(bench, options.models, max(options.threads), options.rounds, options.steps)
        elif part == "decoding":
            print("weights to decode with", flush=True)
            work.learn()
            results[part] = decoding.measure(bench, options.threads, options.rounds)
        else:
            print("start-up, preparation, padding", flush=True)
            results[part] = startup.measure(work, options.rounds)
        missing: Record = {"absent": sorted(bench.absent), "failed": bench.failed}
        results |= missing | {"minutes": (time.monotonic() - began) / 60}
        write_text(out / "results.json", json.dumps(results, indent=1, ensure_ascii=False))
        chart.draw(results, out / "results.png")
    if bench.absent:
        print(f"absent: {', '.join(results['absent'])}")
    for name, why in bench.failed.items():
        print(f"failed: {name}: {why}")
    print(f"{results['minutes']:.1f} minutes; {out / 'results.json'}, {out / 'results.png'}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs=2, type=Path, metavar=("SOURCE", "TARGET"), help="pairs to train on (invented)")
    parser.add_argument("--test", type=Path, metavar="SOURCE", help="lines to decode, which --data needs")
    parser.add_argument("--learn", type=int, metavar="STEPS", help="to train the weights to decode with, once (250)")
    parser.add_argument("--only", type=names(PARTS), default=PARTS, metavar="PARTS", help=f"of {','.join(PARTS)} (all)")
    parser.add_argument(
        "--models", type=names(training.MODELS), default=training.MODELS, metavar="MODELS",
        help=f"to train, of {','.join(training.MODELS)} (all)",
    )  # fmt: skip
    parser.add_argument(
        "--engines", type=lambda text: text.lower().split(","), metavar="NAMES", help="such as weft,ctranslate2 (all)"
    )
    parser.add_argument("--threads", type=counts, default=(1, 2), help="separated by commas (1,2)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each engine (3)")
    parser.add_argument("--steps", type=int, default=3, help="training steps a turn (3)")
    parser.add_argument("--out", type=Path, help="the folder of results (runs/bench)")
    parser.add_argument("--quick", action="store_true", help="tiny models and amounts: figures mean nothing")
    options = parser.parse_args()
    if options.data and not options.test:
        parser.error("--data needs --test")
    return options


class names:
    """A comma-separated list of some of what there is."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    def __call__(self, text: str) -> tuple[str, ...]:
        wanted = tuple(text.split(","))
        if unknown := set(wanted) - set(self.known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: expected some of {', '.join(self.known)}")
        return wanted


def counts(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    main()
