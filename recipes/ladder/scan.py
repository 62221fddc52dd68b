"""Climb the ladder on the four splits of SCAN, and draw them beside each other.

    python recipes/ladder/scan.py                        # every rung, three seeds, into runs/scan
    python recipes/ladder/scan.py --rungs plain,additive,convolution,transformer training.threads=1

Needs SCAN under data/ (recipes/README.md). Stopped, it goes on where it was. The arguments at the end are settings as
in `weft train`, for all runs. It writes scan.md and scan.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

import yaml
from climb import HERE, Result, by_rung, chosen, climbed, known

from weft.files import write_text
from weft.look.canvas import ACCENT, PALE, QUIET, new_figure, save, style, written

SPLITS = {
    "simple": "simple",
    "length": "length",
    "addprim_jump": "jump",
    "addprim_turn_left": "turn left",
}
Rungs = Mapping[str, list[Result]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rungs", default="", help="names from rungs.yaml, separated by commas (all of the ladder)")
    parser.add_argument("--splits", default=",".join(SPLITS), help=f"separated by commas ({','.join(SPLITS)})")
    parser.add_argument("--seeds", default="1,2,3", help="separated by commas (1,2,3)")
    parser.add_argument("--out", type=Path, default="runs/scan", help="the folder of runs and results (runs/scan)")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    options = parser.parse_args()
    rungs = yaml.safe_load((HERE / "rungs.yaml").read_text("utf-8"))
    wanted, splits = chosen(options.rungs, rungs, parser), options.splits.split(",")
    if unknown := set(splits) - set(SPLITS):
        parser.error(f"no such split: {', '.join(sorted(unknown))}")
    for seed in map(int, options.seeds.split(",")):
        for rung in wanted:
            for split in splits:
                data = [f"data.{part}=data/scan/{split}.{part}.tsv.gz" for part in ("train", "test")]
                climbed(HERE / "scan.yaml", rung, seed, options.out / split, [*data, *options.settings])
                found = {title: by_rung(known(rungs, options.out / split)) for split, title in SPLITS.items()}
                write_text(options.out / "scan.md", table(found))
                draw(found, options.out / "scan.png")
    print(table(found))


def table(found: Mapping[str, Rungs]) -> str:
    """A row a rung, a column a split: the mean of the seeds and how far they are apart."""
    rows = [f"| rung | {' | '.join(found)} | parameters | minutes a run |", "|---" * (len(found) + 3) + "|"]
    for rung in order(found):
        of_rung = [results for rungs in found.values() for results in rungs.get(rung, ())]
        cells = [spread(rungs.get(rung, [])) for rungs in found.values()]
        minutes = mean(result.minutes for result in of_rung)
        parameters = f"{of_rung[0].parameters:,}"
        rows.append(f"| {of_rung[0].title} | {' | '.join(cells)} | {parameters} | {minutes:.0f} |")
    return "\n".join(rows) + "\n"


def order(found: Mapping[str, Rungs]) -> list[str]:
    return list(dict.fromkeys(rung for rungs in found.values() for rung in rungs))


def spread(results: Sequence[Result]) -> str:
    values = [result.value for result in results]
    if not values:
        return "–"
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def draw(found: Mapping[str, Rungs], path: Path) -> None:
    """A panel a split, a bar a rung, a point a seed."""
    rungs = order(found)
    titles = {results[0].rung: results[0].title for of_split in found.values() for results in of_split.values()}
    figure = new_figure(1.2 + (0.5 + 0.5 * len(rungs)) * len(found), 3.6)
    for axes, (split, of_split) in zip(figure.subplots(1, len(found), sharey=True), found.items(), strict=True):
        for place, rung in enumerate(rungs):
            values = [result.value for result in of_split.get(rung, ())]
            if not values:
                continue
            axes.bar(place, mean(values), color=PALE, width=0.62)
            axes.scatter([place] * len(values), values, color=ACCENT, s=10, zorder=3)
            written(axes, f"{mean(values):.0f}", (place, max(values)), 4, 8.5)
        style(axes, split)
        axes.set_xticks(
            range(len(rungs)), [titles[rung] for rung in rungs], rotation=40, ha="right", rotation_mode="anchor"
        )
        axes.set_xlim(-0.6, len(rungs) - 0.4)
        axes.set_ylim(0, 108)
    figure.axes[0].set_ylabel("exact match (%)", fontsize=8.5, color=QUIET)
    figure.tight_layout(pad=1.4)
    save(figure, path)


if __name__ == "__main__":
    main()
