"""Sequence-level knowledge distillation (Kim & Rush 2016): from an ensemble that is good to one model that is fast.

    python recipes/distill/distill.py                        # all of it, into runs/distill
    python recipes/distill/distill.py --students distilled   # without the student of the pairs as they are
    python recipes/distill/distill.py --seeds 1,2,3,4 training.epochs=10 training.steps=5080

The teachers are trained, translate the sources that they were trained on, and students learn what they said. Every
stage goes on where it was stopped; what is finished is only read. The settings at the end, as in `weft train`, are for
all models. It needs Multi30k under data/ (recipes/README.md), and writes distill.md and distill.png: BLEU on the test
set against sentences a second, of teachers and students, and of CTranslate2 where it is installed
(benchmarks/README.md).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import weft
from weft.data.lines import read_lines
from weft.data.read import read_pairs
from weft.files import write_text
from weft.look.canvas import ACCENT, INK, PALE, QUIET, SECOND, new_figure, save, style
from weft.metrics.score import compute
from weft.models.directory import CARD
from weft.recipe import Parallel, Recipe
from weft.tasks.workers import Job, Workers

HERE = Path(__file__).resolve().parent
BLOCK = 2048  # lines that are translated before they are written
METRIC = "bleu_tokenized"
STUDENTS = {
    "distilled": "student, of what the teachers say",
    "original": "student, of the pairs as they are",
    "both": "student, of both",
}
COLORS = {"teacher": INK, "ensemble": QUIET, "distilled": ACCENT, "original": PALE, "both": PALE, "CTranslate2": SECOND}


@dataclass(frozen=True)
class Point:
    """One engine with one beam."""

    name: str
    beam: int
    bleu: float
    rate: float  # sentences in a second of processor time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1,2", help="of the teachers, separated by commas (1,2)")
    parser.add_argument("--students", default="distilled,original", help=f"some of {', '.join(STUDENTS)}")
    parser.add_argument("--out", default="runs/distill", help="the folder of runs and results (runs/distill)")
    parser.add_argument("--beam", type=int, default=5, help="of the teachers when they translate (5)")
    parser.add_argument("--workers", type=int, default=1, help="processes that translate (1)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each engine is timed (5)")
    parser.add_argument("--timed", type=int, default=256, help="lines of the test set that are timed, in bulk (256)")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    options = parser.parse_args()
    out, students = Path(options.out), options.students.split(",")
    if unknown := set(students) - set(STUDENTS):
        parser.error(f"no such student: {', '.join(sorted(unknown))}")
    teachers = [trained("teacher", seed, out, options.settings) for seed in options.seeds.split(",")]
    recipe = weft.recipe.load(teachers[0] / "recipe.yaml")
    said = translated(recipe, teachers, out, options.beam, options.workers)
    runs = {}
    for student in students:
        settings = [*options.settings, *material(student, recipe, said)]
        runs[student] = trained("student", student, out, settings)
    report(measured(recipe, teachers, runs, out, options.rounds, options.timed), out)


def trained(base: str, name: str, out: Path, settings: Sequence[str]) -> Path:
    """The run of a recipe of this folder, trained now, further, or before; teachers are named by their seeds."""
    run = out / f"{base}-{name}"
    if not (run / CARD).exists():
        seed = [f"training.seed={name}"] if base == "teacher" else []
        weft.train(HERE / f"{base}.yaml", f"name={run.name}", f"out={out}", *seed, *settings)
    return run


def sides(recipe: Recipe) -> Parallel:
    assert isinstance(recipe.data.train, Parallel)
    return recipe.data.train


def translated(recipe: Recipe, teachers: Sequence[Path], out: Path, beam: int, workers: int) -> Path:
    """A file with what the ensemble says to each training source, written block by block."""
    said = out / "said.txt"
    if said.exists():
        return said
    parts = out / "said"
    parts.mkdir(exist_ok=True)
    done = len(list(parts.glob("*.txt")))
    assert isinstance(sides(recipe).source, str)
    sources = islice(read_lines(str(sides(recipe).source)), done * BLOCK, None)
    began = time.perf_counter()
    job = Job([str(teacher) for teacher in teachers], search={"beam": beam})
    with Workers(workers, job) as all_workers:
        answers = all_workers.stream(sources)
        while block := [answer.text for answer in islice(answers, BLOCK)]:
            write_text(parts / f"{done:04}.txt", lines(block))
            print(f"translated {done * BLOCK + len(block):,} lines, {time.perf_counter() - began:.0f} s", flush=True)
            done += 1
    write_text(said, "".join(part.read_text("utf-8") for part in sorted(parts.glob("*.txt"))))
    return said


def lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def material(student: str, recipe: Recipe, said: Path) -> list[str]:
    """What a student is trained on, as settings."""
    if student == "original":
        return []
    distilled = f"{{source: {sides(recipe).source}, target: {said}}}"
    if student == "distilled":
        return [f"data.train={distilled}"]
    return [f"data.also=[{{train: {distilled}}}]"]


def measured(
    recipe: Recipe, teachers: Sequence[Path], students: dict[str, Path], out: Path, rounds: int, timed: int
) -> list[Point]:
    """BLEU on the test set and speed of all, in turns in one run."""
    assert recipe.data.test is not None
    pairs = list(read_pairs(recipe.data.test, recipe.data.columns))
    models = {"ensemble": ",".join(map(str, teachers)), "teacher": str(teachers[0])}
    models |= {name: str(run) for name, run in students.items()}
    models |= {f"{name} int8": f"{run}@int8" for name, run in students.items() if name != "original"}
    results = out / "beside" / "results.json"
    found = json.loads(results.read_text("utf-8")) if results.exists() else []
    if not models.keys() <= {point["name"] for point in found}:
        write_text(out / "test.txt", lines(source for source, _ in pairs))
        where = [str(out / "test.txt"), *(f"{name}={place}" for name, place in models.items())]
        how = [
            "--ctranslate2",
            str(teachers[0]),
            "--out",
            str(results.parent),
            "--rounds",
            str(rounds),
            "--timed",
            str(timed),
        ]
        subprocess.run([sys.executable, "-m", "benchmarks.models", *where, *how], check=True)
        found = json.loads(results.read_text("utf-8"))
    references = [[target] for _, target in pairs]
    return [
        Point(
            one["name"],
            one["beam"],
            compute([METRIC], one["outputs"], references, recipe.target_language)[0].value,
            one["sentences_per_second"],
        )
        for one in found
    ]


def report(points: Sequence[Point], out: Path) -> None:
    rows = ["| engine | beam | BLEU | sentences a second |", "|---|---|---|---|"]
    rows += [f"| {point.name} | {point.beam} | {point.bleu:.2f} | {point.rate:,.0f} |" for point in points]
    write_text(out / "distill.md", lines(rows))
    draw(points, out / "distill.png")
    print("\n".join(rows))


def draw(points: Sequence[Point], path: Path) -> None:
    """BLEU against speed: a line an engine, from a beam of 5 to greedy."""
    figure = new_figure(7.2, 4.2)
    axes = figure.subplots()
    for name in dict.fromkeys(point.name for point in points):
        same = sorted((point for point in points if point.name == name), key=lambda point: -point.beam)
        color = next(color for begin, color in COLORS.items() if name.startswith(begin))
        rates, values = [point.rate for point in same], [point.bleu for point in same]
        dashed = "int8" in name
        axes.plot(rates, values, color=color, linewidth=1.4, linestyle="--" if dashed else "-", zorder=2)
        for point in same:
            filled = color if point.beam > 1 else "white"
            axes.scatter([point.rate], [point.bleu], s=34, color=filled, edgecolors=color, zorder=3)
        above = 7 if dashed else -7
        axes.annotate(
            name,
            (rates[-1], values[-1]),
            (5, above),
            textcoords="offset points",
            color=color,
            size=8.5,
            va="bottom" if dashed else "top",
        )
    style(axes, "BLEU on the test set by speed (filled: beam of 5, hollow: greedy)")
    axes.set_xscale("log")
    axes.margins(x=0.16, y=0.1)
    axes.set_xlabel("sentences in a second of one thread", fontsize=8.5, color=QUIET)
    axes.grid(axis="x", which="both", color="#eeeff5", linewidth=0.6)
    figure.tight_layout(pad=1.4)
    save(figure, path)


if __name__ == "__main__":
    main()
