"""What an evaluation found, as a person reads it in a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from weft.data.factors import words_of
from weft.errors import counted
from weft.look.canvas import tidy
from weft.metrics import breakdown
from weft.metrics.breakdown import Bucket, Confusion, Judged
from weft.metrics.calibration import calibration_error
from weft.metrics.edit import Operation
from weft.metrics.rate import UNITS
from weft.metrics.score import LABELS
from weft.recipe import Recipe
from weft.tasks.evaluate import Evaluation

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

BAR = 24  # columns of a terminal, of the longest bar
CONFUSIONS = 8
MISSING = "·"  # stands where one of two aligned lines has nothing
WRONG, RIGHT = "bold red", "green"


def print_report(evaluation: Evaluation, recipe: Recipe, worst: int, console: Console) -> None:
    """Scores with their signatures, then what was cut off, the scores by length, the worst items, the confusions."""
    for score in evaluation.scores:
        say(console, (f"{score.label} {score.value:.2f}", "bold"), (f"  ({score.signature})", "dim"))
    cut_off = evaluation.cut_off()
    told = counted(cut_off, "output was", "outputs were") if cut_off else "no output was"
    were = (f"{told} cut off at the length cap", WRONG if cut_off else "")
    say(console, f"{counted(len(evaluation.items), 'item')}; ", were)
    if recipe.tags:
        error, of = calibration(evaluation)
        say(console, f"calibration error {error:.2f}", (f"  (percent; of {of}, 10 bins)", "dim"))
    lines = lines_of(evaluation, recipe)
    buckets = buckets_of(evaluation, recipe)
    if len(buckets) > 1:
        heading(console, f"{buckets[0].score.label} by {measured(recipe)} length, in {length_unit(recipe)}")
        print_buckets(console, buckets)
    name = evaluation.scores[0].name
    if worst and (found := breakdown.worst(lines, worst, name)):
        heading(console, f"the worst, by {LABELS[found[0].metric]}")
        for number, judged in enumerate(found):
            if number:
                say(console)
            print_item(console, judged, aligned=recipe.vocabulary.target.kind == "word")
    unit = next((score.name for score in evaluation.scores if score.name in UNITS), None)
    if unit and (confusions := breakdown.confusions(lines, CONFUSIONS, unit)):
        heading(console, "what was most often taken for what")
        print_confusions(console, confusions)


def calibration(evaluation: Evaluation) -> tuple[float, str]:
    """The calibration error, and of what: whole lines, or single labels where these have probabilities of their own."""
    pairs = list(zip(evaluation.predictions, evaluation.items, strict=True))
    if not any(prediction.labels for prediction, _ in pairs):
        sure = [math.exp(sum(prediction.token_scores)) for prediction, _ in pairs]
        right = [prediction.text in item.references for prediction, item in pairs]
        return calibration_error(sure, right), "whole lines"
    each = [
        (probability, label in item.references[0].split())
        for prediction, item in pairs
        for label, probability in (prediction.labels or {}).items()
    ]
    return calibration_error([sure for sure, _ in each], [there for _, there in each]), "single labels"


def lines_of(evaluation: Evaluation, recipe: Recipe) -> list[breakdown.Item]:
    """Each item with its output; of a source its words alone."""
    words: Callable[[str], str] = words_of if recipe.factors else str
    return [
        breakdown.Item(words(item.source), prediction.text, item.references)
        for item, prediction in zip(evaluation.items, evaluation.predictions, strict=True)
    ]


def buckets_of(evaluation: Evaluation, recipe: Recipe) -> list[Bucket]:
    """The first metric by source length, in characters where the source is read so, else in words.

    An image has no length; its caption's stands for it.
    """
    length: Callable[[str], int] = len if length_unit(recipe) == "characters" else breakdown.words
    name, lines = evaluation.scores[0].name, lines_of(evaluation, recipe)
    if measured(recipe) == "caption":
        lines = [replace(line, source=line.references[0]) for line in lines]
    return breakdown.by_length(lines, name, recipe.target_language, length=length)


def measured(recipe: Recipe) -> str:
    """What items are told apart by the length of."""
    return "caption" if recipe.model.input.kind == "image" else "source"


def length_unit(recipe: Recipe) -> str:
    characters = measured(recipe) == "source" and recipe.vocabulary.source.kind == "character"
    return "characters" if characters else "words"


def say(console: Console, *parts: str | Text | tuple[str, str]) -> None:
    """One line, whole however wide the terminal is; (text, style) or text."""
    from rich.text import Text

    console.print(Text.assemble(*parts), soft_wrap=True)


def heading(console: Console, title: str) -> None:
    say(console)
    say(console, (title, "bold cyan"))


def print_buckets(console: Console, buckets: Sequence[Bucket]) -> None:
    """`1–5  120  12.30  ████`, in columns: length, items, score, and beside the bar where it is another score."""
    most = max(bucket.score.value for bucket in buckets) or 1.0
    width = max(len(bucket.label) for bucket in buckets)
    digits = max(len("items"), *(len(f"{bucket.items:,}") for bucket in buckets))
    say(console, (f"  {'':>{width}}  {'items':>{digits}}", "dim"))
    for bucket in buckets:
        value = bucket.score.value
        numbers = f"  {bucket.label:>{width}}  {bucket.items:>{digits},}  {value:6.2f}  "
        note = f"  ({bucket.note}: no reference has more words)" if bucket.note else ""
        say(console, numbers, ("█" * round(BAR * value / most), "blue"), (note, "dim"))


def print_item(console: Console, judged: Judged, aligned: bool) -> None:
    """Source, expected and got, what differs in colour; `aligned` sets equal units under each other."""
    from rich.text import Text

    item = judged.item
    operations = breakdown.operations(item, judged.metric)
    expected, got = differences(operations, "" if UNITS.get(judged.metric) == "characters" else " ", aligned)
    if others := len(item.references) - 1:
        expected.append(f"  (or {counted(others, 'other')})", "dim")
    if not item.output.strip():
        got = Text("(nothing)", "dim")
    for head, line in (("source", tidy(item.source)), ("expected", expected), ("got", got)):
        say(console, (f"  {head:<10}", "dim"), line)


def differences(operations: Sequence[Operation], between: str, aligned: bool) -> tuple[Text, Text]:
    """The reference and the output, units that differ in colour."""
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    expected, got = Text(), Text()
    for operation in operations:
        sides = [tidy(str(unit)) if unit is not None else "" for unit in (operation.reference, operation.hypothesis)]
        width = max(map(cell_len, sides))
        for line, side, style in zip((expected, got), sides, (RIGHT, WRONG), strict=True):
            if not side and not aligned:
                continue
            shown = side or MISSING
            line.append(shown, "" if operation.kind == "keep" else style if side else "dim")
            line.append(set_cell_size(between, cell_len(between) + (width - cell_len(shown) if aligned else 0)))
    expected.rstrip()
    got.rstrip()
    return expected, got


def print_confusions(console: Console, confusions: Sequence[Confusion]) -> None:
    """`AH → IH  120`, in columns."""
    from rich.cells import cell_len

    sides = [(tidy(confusion.reference), tidy(confusion.output)) for confusion in confusions]
    left, right = (max(map(cell_len, side)) for side in zip(*sides, strict=True))
    digits = max(len(f"{confusion.count:,}") for confusion in confusions)
    for (expected, got), confusion in zip(sides, confusions, strict=True):
        before, after = " " * (left - cell_len(expected)), " " * (right - cell_len(got))
        say(console, f"  {before}", (expected, RIGHT), " → ", (got, WRONG), f"{after}  {confusion.count:>{digits},}")
