"""A new model out of several checkpoints of one run."""

from __future__ import annotations

import shutil
from pathlib import Path

import weft.recipe
from weft.errors import WeftError, counted
from weft.files import new_folder, write_text
from weft.metrics.score import higher_is_better
from weft.models.directory import (
    CARD,
    ENCODER,
    RECIPE,
    SCALER,
    SOURCE,
    SOURCE_FACTORS,
    TARGET,
    WEIGHTS,
    models_in,
    save_tensors,
)
from weft.training import card
from weft.training.checkpoint import Checkpoint, best, checkpoints
from weft.training.checkpoint import average as mean
from weft.training.run import is_run


def average(run: Path, kind: str, count: int, out: Path) -> list[Checkpoint]:
    """Average the `count` best or last checkpoints into the new folder `out`; gives those that were taken."""
    if not is_run(run):
        raise WeftError(f"{run}: not a run: it has no {RECIPE}{models_in(run)}")
    if count < 1:
        raise WeftError(f"--{kind} is {count}; expected 1 or more")
    if out.exists():
        raise WeftError(f"{out} is there already; choose another folder with --out")
    recipe = weft.recipe.load(run / RECIPE)
    keeps = recipe.training.keep_last if kind == "last" else recipe.training.keep_best
    if count > keeps:
        raise WeftError(f"{run} keeps the {keeps} {kind} checkpoints, not {count}; training.keep_{kind} says how many")
    kept = checkpoints(run)
    if len(kept) < count:
        raise WeftError(
            f"{run} keeps {counted(len(kept), 'checkpoint')}, not {count}; training.keep_{kind} says how many are kept"
        )
    chosen = kept[-count:] if kind == "last" else best(kept, count, higher_is_better(recipe.validation.metric))
    with new_folder(out) as beside:
        for name in (RECIPE, SOURCE, SOURCE_FACTORS, TARGET, SCALER):
            if (run / name).is_file():
                shutil.copyfile(run / name, beside / name)
        if (run / CARD).is_file():
            what = f"the average of the {kind} {counted(count, 'checkpoint')} of {run.name}"
            write_text(beside / CARD, card.of_average(run, out.name, what))
        if (run / ENCODER).is_dir():
            shutil.copytree(run / ENCODER, beside / ENCODER)
        save_tensors(mean(chosen), beside / WEIGHTS)
    return chosen
