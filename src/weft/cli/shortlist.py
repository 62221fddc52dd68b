"""weft shortlist."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from weft.cli.arguments import Arguments
from weft.errors import WeftError


def parser() -> Arguments:
    shortlist = Arguments(
        prog="weft shortlist",
        description="Learn from a model's training pairs which target pieces go with a source piece. With --shortlist, "
        "predict, evaluate and serve compute these alone in the output layer.",
        epilog="weft shortlist runs/pairs, then weft predict runs/pairs --shortlist < lines.txt",
    )
    shortlist.add_argument("model", metavar="MODEL", help="a model's folder, which gets shortlist.npz")
    shortlist.add_argument("--best", type=int, default=100, metavar="N", help="target pieces of a source piece (100)")
    shortlist.add_argument(
        "--frequent", type=int, default=100, metavar="N", help="the most frequent target pieces, always there (100)"
    )
    return shortlist


def run(options: argparse.Namespace) -> int:
    from weft.cli.evaluate import writing
    from weft.tasks.narrowed import learn

    for name in ("best", "frequent"):
        if getattr(options, name) < 1:
            raise WeftError(f"--{name} is {getattr(options, name)}; expected 1 or more")
    folder = Path(options.model)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    shortlist = learn(folder, options.best, options.frequent, say)
    with writing(folder):
        shortlist.save(folder)
    print(
        f"{folder}: up to {shortlist.best.shape[1]} pieces of each of {len(shortlist.best):,} source pieces, and the "
        f"{len(shortlist.frequent)} most frequent. Use it: weft predict {folder} --shortlist"
    )
    return 0
