"""Teacher forcing, scheduled sampling and free running by length of the output: trained, scored and drawn.

    python recipes/feeding/compare.py
    python recipes/feeding/compare.py --splits simple --seeds 1,2,3 training.threads=1

Needs SCAN under data/ (recipes/README.md). The arguments at the end are settings as in `weft train`, for all runs.
Runs, feeding.md and feeding.png go to runs/feeding; stopped, it goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import weft
from weft.data.read import read_pairs
from weft.files import write_text
from weft.look.canvas import ACCENT, INK, QUIET, SECOND, new_figure, save, style
from weft.tasks.evaluate import evaluate, items

HERE = Path(__file__).resolve().parent
OUT = Path("runs/feeding")
RESULT = "result.json"
WAYS = {
    "teacher": ("teacher forcing", ["training.feeding.kind=teacher_forcing"]),
    "scheduled": (
        "scheduled sampling, to half",
        ["training.feeding={kind: scheduled_sampling, decay: linear, over: 1500, least: 0.5}"],
    ),
    "free": ("free running", ["training.feeding.kind=free_running"]),
}
BOUNDS = [0, 8, 16, 24, 32, 40, 48]  # actions of an output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", default="simple,length", help="of SCAN, separated by commas (simple,length)")
    parser.add_argument("--seeds", default="1,2,3", help="separated by commas (1,2,3)")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    options = parser.parse_args()
    splits = options.splits.split(",")
    found: dict[tuple[str, str], list[dict[int, list[float]]]] = {}
    for seed in map(int, options.seeds.split(",")):
        for split in splits:
            for way in WAYS:
                found.setdefault((split, way), []).append(right(split, way, seed, options.settings))
                write_text(OUT / "feeding.md", table(found))
                draw(found, splits)
    print(table(found))


def right(split: str, way: str, seed: int, settings: Sequence[str]) -> dict[int, list[float]]:
    """Of the test items of each number of actions: whether each was answered exactly, 0 or 100."""
    name = f"{split}-{way}-{seed}"
    file = OUT / name / RESULT
    if not file.exists():
        data = [f"data.{part}=data/scan/{split}.{part}.tsv.gz" for part in ("train", "test")]
        own = [*WAYS[way][1], *data, f"name={name}", f"out={OUT}", f"training.seed={seed}"]
        model = weft.train(HERE / "base.yaml", *own, *settings)
        assert model.recipe.data.test is not None
        pairs = read_pairs(model.recipe.data.test, model.recipe.data.columns)
        answers = evaluate(model, items(pairs, several_references=False), ["exact_match"])
        by_length: dict[int, list[float]] = {}
        for item, prediction in zip(answers.items, answers.predictions, strict=True):
            exact = 100.0 * (prediction.text == item.references[0])
            by_length.setdefault(len(item.references[0].split()), []).append(exact)
        write_text(file, json.dumps(by_length))
    return {int(length): values for length, values in json.loads(file.read_text("utf-8")).items()}


def between(found: dict[int, list[float]], low: int, high: int) -> list[float]:
    return [value for length, values in found.items() if low < length <= high for value in values]


def table(found: dict[tuple[str, str], list[dict[int, list[float]]]]) -> str:
    heads = [f"{low + 1}–{high}" for low, high in pairwise(BOUNDS)]
    rows = [f"| split | fed | all | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
    for (split, way), seeds in found.items():
        cells = [spread([between(one, 0, BOUNDS[-1]) for one in seeds])]
        cells += [spread([between(one, low, high) for one in seeds]) for low, high in pairwise(BOUNDS)]
        rows.append(f"| {split} | {WAYS[way][0]} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def spread(seeds: list[list[float]]) -> str:
    """The mean of the seeds' means and how far they are apart."""
    means = [mean(values) for values in seeds if values]
    if not means:
        return "–"
    return f"{mean(means):.1f}" + (f" ± {stdev(means):.1f}" if len(means) > 1 else "")


def draw(found: dict[tuple[str, str], list[dict[int, list[float]]]], splits: Sequence[str]) -> None:
    figure = new_figure(1.0 + 4.6 * len(splits), 3.8)
    for axes, split in zip(figure.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
        for way, color in zip(WAYS, (SECOND, ACCENT, QUIET), strict=True):
            points = []
            for low, high in pairwise(BOUNDS):
                means = [mean(values) for one in found.get((split, way), ()) if (values := between(one, low, high))]
                if means:
                    points.append(((low + high + 1) / 2, mean(means)))
            if points:
                axes.plot(*zip(*points, strict=True), color=color, linewidth=1.8, marker="o", markersize=4,
                          label=WAYS[way][0])  # fmt: skip
        style(axes, f"exact match (%), SCAN {split}")
        axes.set_xlabel("actions of the output", fontsize=8.5, color=QUIET)
        axes.set_ylim(-3, 103)
        axes.set_xlim(0, BOUNDS[-1])
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    figure.tight_layout(pad=1.4)
    save(figure, OUT / "feeding.png")


if __name__ == "__main__":
    main()
