"""card.md: what a model is, for whoever finds its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from weft.errors import counted
from weft.files import write_text
from weft.models.directory import CARD
from weft.recipe import Recipe
from weft.training.checkpoint import Ending, Progress

BEST = "- best "  # what the line of the score begins with


class Counted(Protocol):
    def report(self) -> list[str]:
        """What became of the data, a line each."""


def write(folder: Path, recipe: Recipe, progress: Progress, ending: Ending, counts: Counted) -> None:
    encoder, decoder = recipe.model.encoder, recipe.model.decoder
    of_encoder = encoder.folder if encoder.kind == "pretrained" else counted(encoder.layers, "layer")
    lines = [
        f"# {recipe.name}",
        "",
        f"Encoder: {encoder.kind}, {of_encoder}. Decoder: {decoder.kind}, "
        f"{counted(decoder.layers, 'layer')}. Width {recipe.model.width}. "
        f"Trained with weft for {counted(progress.step, 'step')} "
        f"in {progress.seconds / 60:.1f} minutes.",
        "",
        f"{BEST}{recipe.validation.metric} on the development set: {ending.outcome}",
        *(f"- {line}" for line in counts.report()),
        "",
        "Every setting is in `recipe.yaml`.",
        "",
        "```",
        f"weft predict {folder.name} {'< lines.txt' if recipe.data.series is None else 'series.csv > forecast.csv'}",
        "```",
    ]
    write_text(folder / CARD, "\n".join(lines) + "\n")


def of_average(run: Path, out: str, what: str) -> str:
    """The card of a run as that of an average of its checkpoints: the score is that of another model."""
    lines = (run / CARD).read_text("utf-8").splitlines()
    said = [f"- {what}, not scored yet" if line.startswith(BEST) else line for line in lines]
    return "\n".join(line.replace(f"weft predict {run.name} ", f"weft predict {out} ") for line in said) + "\n"
