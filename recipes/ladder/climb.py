"""Train every rung of a ladder, score it on the test set, and draw what came out.

    python recipes/ladder/climb.py                       # Multi30k de-en, into runs/ladder
    python recipes/ladder/climb.py --rungs plain,dot     # some of its rungs
    python recipes/ladder/climb.py --base scan.yaml --seeds 1,2,3 data.train=data/scan/length_train.tsv.gz ...

Stopped, it goes on where it was; what is finished is only read. The arguments at the end are settings as in
`weft train`, for all rungs. It writes results.json, ladder.md, ladder.png and, where the task is translation,
length.png: the score by source length with and without attention.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

import weft
import weft.recipe
from weft.data.read import read_pairs
from weft.files import write_text
from weft.look.canvas import ACCENT, INK, PALE, QUIET, SECOND, new_figure, save, style, written
from weft.look.curves import read_log
from weft.metrics.breakdown import Item, by_length
from weft.tasks.evaluate import evaluate, items

HERE = Path(__file__).resolve().parent
RESULT = "result.json"
PUBLISHED = "multi30k.yaml"  # the base that the published figures of rungs.yaml stand beside
LABELS = {"bleu_tokenized": "BLEU", "exact_match": "exact match (%)"}
COMPARED = {"every": "fixed vector at every step", "additive": "additive attention", "transformer": "Transformer"}


@dataclass(frozen=True)
class Result:
    rung: str
    title: str
    seed: int
    parameters: int
    minutes: float
    value: float
    published: float | None
    lengths: list[tuple[str, int, float]]  # of the source: label, items, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="multi30k.yaml", help="the recipe that all rungs share (multi30k.yaml)")
    parser.add_argument("--rungs", default="", help="names from rungs.yaml, separated by commas (all of the ladder)")
    parser.add_argument("--seeds", default="1", help="separated by commas (1)")
    parser.add_argument("--out", default="runs/ladder", help="the folder of runs and results (runs/ladder)")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    options = parser.parse_args()
    base, out = HERE / options.base, Path(options.out)
    rungs = yaml.safe_load((HERE / "rungs.yaml").read_text("utf-8"))
    wanted = chosen(options.rungs, rungs, parser)
    for rung in wanted:
        for seed in map(int, options.seeds.split(",")):
            climbed(base, rung, seed, out, options.settings)
            report(known(rungs, out), out)


def chosen(names: str, rungs: Sequence[dict[str, Any]], parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """The rungs that are named, separated by commas, in their order; without names those of the ladder."""
    if not names:
        return [rung for rung in rungs if "beside" not in rung]
    wanted = names.split(",")
    if unknown := set(wanted) - {rung["name"] for rung in rungs}:
        parser.error(f"no such rung: {', '.join(sorted(unknown))}")
    return [rung for rung in rungs if rung["name"] in wanted]


def known(rungs: Sequence[dict[str, Any]], out: Path) -> list[Result]:
    """All results so far, in the order of the rungs."""
    files = [file for rung in rungs for file in sorted(out.glob(f"{rung['name']}-[0-9]*/{RESULT}"))]
    return [read(file) for file in files]


def read(file: Path) -> Result:
    found = json.loads(file.read_text("utf-8"))
    return Result(**found | {"lengths": [tuple(row) for row in found["lengths"]]})


def climbed(base: Path, rung: dict[str, Any], seed: int, out: Path, settings: Sequence[str]) -> Result:
    """The result of one rung with one seed, trained now or read from where it was written."""
    name = f"{rung['name']}-{seed}"
    if (out / name / RESULT).exists():
        return read(out / name / RESULT)
    model = weft.train(
        base, f"name={name}", f"out={out}", f"training.seed={seed}", *rung.get("settings", ()), *settings
    )
    recipe = model.recipe
    assert recipe.data.test is not None
    metric = recipe.validation.metric
    pairs = read_pairs(recipe.data.test, recipe.data.columns)
    found = evaluate(model, items(pairs, several_references=False), [metric])
    judged = [
        Item(item.source, prediction.text, item.references)
        for item, prediction in zip(found.items, found.predictions, strict=True)
    ]
    buckets = by_length(judged, metric, recipe.target_language)
    log = read_log(out / name / "log.jsonl")
    result = Result(
        rung=rung["name"],
        title=rung["title"],
        seed=seed,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        minutes=max(record.get("seconds", 0.0) for record in log) / 60,
        value=found.scores[0].value,
        published=rung.get("published") if base.name == PUBLISHED else None,
        lengths=[(bucket.label, bucket.items, bucket.score.value) for bucket in buckets],
    )
    write_text(out / name / RESULT, json.dumps(asdict(result), ensure_ascii=False, indent=1))
    return result


def report(results: Sequence[Result], out: Path) -> None:
    metric = weft.recipe.load(out / f"{results[0].rung}-{results[0].seed}" / "recipe.yaml").validation.metric
    label = LABELS.get(metric, metric.replace("_", " "))
    write_text(out / "results.json", json.dumps([asdict(result) for result in results], ensure_ascii=False, indent=1))
    write_text(out / "ladder.md", table(results, label))
    draw(results, label, out / "ladder.png")
    if metric == "bleu_tokenized" and sum(rung in COMPARED for rung in by_rung(results)) > 1:
        draw_lengths(results, label, out / "length.png")
    print(table(results, label), flush=True)


def by_rung(results: Sequence[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.rung, []).append(result)
    return found


def table(results: Sequence[Result], label: str) -> str:
    rows = [f"| rung | {label} | published | parameters | minutes |", "|---|---|---|---|---|"]
    for same in by_rung(results).values():
        values = [result.value for result in same]
        value = f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")
        published = "–" if same[0].published is None else f"{same[0].published:.1f}"
        minutes = mean(result.minutes for result in same)
        rows.append(f"| {same[0].title} | {value} | {published} | {same[0].parameters:,} | {minutes:.0f} |")
    return "\n".join(rows) + "\n"


def draw(results: Sequence[Result], label: str, path: Path) -> None:
    """A bar a rung, in the ladder's order, with a line where the published figure stands."""
    rungs = list(by_rung(results).values())
    figure = new_figure(max(4.2, 1.6 + 0.86 * len(rungs)), 4.0)
    axes = figure.subplots()
    for place, same in enumerate(rungs):
        value = mean(result.value for result in same)
        axes.bar(place, value, color=PALE, width=0.62)
        written(axes, f"{value:.1f}", (place, value), 3, 9)
        axes.scatter([place] * len(same), [result.value for result in same], color=ACCENT, s=10, zorder=3)
        if same[0].published is not None:
            axes.hlines(same[0].published, place - 0.31, place + 0.31, color=SECOND, linewidth=2)
    style(axes, f"{label} on the test set")
    axes.set_xticks(range(len(rungs)), [same[0].title.replace(" ", "\n", 1) for same in rungs])
    if any(same[0].published is not None for same in rungs):
        axes.annotate("— published", (0.01, 0.93), xycoords="axes fraction", color=SECOND, size=8.5)
    figure.tight_layout(pad=1.4)
    save(figure, path)


def draw_lengths(results: Sequence[Result], label: str, path: Path) -> None:
    """The score by source length, of the rungs that show what attention changes (Bahdanau et al. 2015, figure 2)."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    for (rung, title), color in zip(COMPARED.items(), (SECOND, ACCENT, QUIET), strict=True):
        for same in filter(None, [by_rung(results).get(rung)]):
            labels = [name for name, _, _ in same[0].lengths]
            values = [mean(result.lengths[place][2] for result in same) for place in range(len(labels))]
            axes.plot(range(len(labels)), values, color=color, linewidth=1.8, marker="o", markersize=4.5, label=title)
            axes.set_xticks(range(len(labels)), labels)
    style(axes, f"{label} by source length")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("words of the source", fontsize=8.5, color=QUIET)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    figure.tight_layout(pad=1.4)
    save(figure, path)


if __name__ == "__main__":
    main()
