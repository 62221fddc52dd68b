"""weft average."""

from __future__ import annotations

import argparse
from pathlib import Path

from weft.cli.arguments import Arguments


def parser() -> Arguments:
    average = Arguments(
        prog="weft average",
        description="Average checkpoints of a run into a new model folder; the run stays as it is.",
        epilog="weft average runs/pairs --best 5",
    )
    average.add_argument("run", metavar="RUN")
    which = average.add_mutually_exclusive_group(required=True)
    which.add_argument("--best", type=int, metavar="N", help="the N best on the development set")
    which.add_argument("--last", type=int, metavar="N", help="the N last")
    average.add_argument("--out", metavar="FOLDER", help="the new model's folder (default: RUN-best5, RUN-last5)")
    return average


def run(options: argparse.Namespace) -> int:
    from weft.cli.evaluate import writing
    from weft.training.average import average

    kind, count = ("best", options.best) if options.best is not None else ("last", options.last)
    folder = Path(options.run)
    if folder.name in ("", ".."):  # of `.`, whose average goes beside it
        folder = folder.resolve()
    out = Path(options.out) if options.out else folder.with_name(f"{folder.name}-{kind}{count}")
    with writing(out):
        chosen = average(folder, kind, count, out)
    steps = ", ".join(f"{one.step:,}" for one in chosen)
    print(f"{out}: the average of steps {steps}. See if it is better: {evaluation(out)}")
    return 0


def evaluation(model: Path) -> str:
    """The command that scores it; `test.tsv` or `test.txt` stands for pairs or text that its recipe does not name."""
    from weft import recipe
    from weft.models.directory import RECIPE

    settings = recipe.load(model / RECIPE)
    command = f"weft evaluate {model}"
    if settings.data.series is not None:
        return command
    of_lines = settings.model.encoder.kind == "none"
    if settings.data.test is None:
        command += " --target test.txt" if of_lines else " test.tsv"
    return f"{command} --score" if of_lines else command
