"""Train every horizon of ETTh1 and ETTh2, and write what came out beside the published figures.

    python recipes/ett/forecast.py                                  # all plans of plans.yaml, into runs/ett
    python recipes/ett/forecast.py --plans linear --files ETTh1     # some of them
    python recipes/ett/forecast.py --seeds 1,2,3 --horizons 96,192

Of a plan's candidates, the first seed's error on the development set chooses one for each file and horizon; the other
seeds train that one, and it alone is scored on the test part. Stopped, it goes on where it was. The arguments at the
end are settings as in `weft train`, for all runs. It writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

import weft
from weft.files import write_text
from weft.look.curves import read_log
from weft.tasks.series import SeriesModel

HERE = Path(__file__).resolve().parent
RESULT, TRIAL = "result.json", "trial.json"


@dataclass(frozen=True)
class Trial:
    """One candidate, trained with one seed."""

    candidate: int
    seed: int
    dev: float  # the best MSE while it was trained
    seconds: float  # of this process's cores
    parameters: int


@dataclass(frozen=True)
class Result:
    """The chosen candidate with one seed on the test part."""

    plan: str
    file: str
    horizon: int
    chosen: dict[str, Any]
    trial: Trial
    windows: int  # of the test part
    mse: float
    mae: float
    last: tuple[float, float]  # MSE and MAE of the last value repeated
    seasonal: tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", default="", help="names from plans.yaml, separated by commas (all)")
    parser.add_argument("--files", default="ETTh1,ETTh2", help="separated by commas (ETTh1,ETTh2)")
    parser.add_argument("--horizons", default="", help="separated by commas (those of the plan)")
    parser.add_argument("--seeds", default="1", help="separated by commas (1)")
    parser.add_argument("--data", default="data/ett", help="the folder of ETTh1.csv.gz and ETTh2.csv.gz (data/ett)")
    parser.add_argument("--out", default="runs/ett", help="the folder of runs and results (runs/ett)")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    options = parser.parse_args()
    out = Path(options.out)
    plans = yaml.safe_load((HERE / "plans.yaml").read_text("utf-8"))
    wanted = options.plans.split(",") if options.plans else [plan["name"] for plan in plans]
    if unknown := set(wanted) - {plan["name"] for plan in plans}:
        parser.error(f"no such plan: {', '.join(sorted(unknown))}")
    only = [int(horizon) for horizon in options.horizons.split(",") if horizon]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for plan in plans:
        if plan["name"] not in wanted:
            continue
        for file in options.files.split(","):
            for horizon in plan["horizons"]:
                if not only or horizon in only:
                    forecast(plan, file, horizon, seeds, options, out)
                    report(plans, out)


def forecast(
    plan: dict[str, Any], file: str, horizon: int, seeds: Sequence[int], options: argparse.Namespace, out: Path
) -> None:
    """Train all candidates with the first seed, and with the others the one that the development set prefers."""
    fixed = [f"data.train={Path(options.data) / file}.csv.gz", f"data.series.horizon={horizon}", *options.settings]
    candidates = plan["candidates"]

    def folder(candidate: int, seed: int) -> Path:
        return out / f"{plan['name']}-{file}-{horizon}-{candidate}-{seed}"

    trials = [
        trained(plan, folder(number, seeds[0]), number, seeds[0], [*fixed, *written(candidate)])
        for number, candidate in enumerate(candidates)
    ]
    best = min(trials, key=lambda trial: trial.dev).candidate
    for seed in seeds:
        trial = trained(plan, folder(best, seed), best, seed, [*fixed, *written(candidates[best])])
        if (folder(best, seed) / RESULT).exists():
            continue
        model = weft.load(folder(best, seed))
        assert isinstance(model, SeriesModel)
        series, part, _ = model.test_part()
        found = model.compare(series, part)
        assert found.seasonal is not None
        result = Result(
            plan["name"],
            file,
            horizon,
            candidates[best],
            trial,
            found.windows,
            found.model.mse,
            found.model.mae,
            (found.last.mse, found.last.mae),
            (found.seasonal.mse, found.seasonal.mae),
        )
        write_text(folder(best, seed) / RESULT, json.dumps(asdict(result), indent=1))


def written(candidate: dict[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in candidate.items()]


def trained(plan: dict[str, Any], folder: Path, candidate: int, seed: int, settings: Sequence[str]) -> Trial:
    """One run, trained now or read from where it was written."""
    kept = folder / TRIAL
    if kept.exists():
        return Trial(**json.loads(kept.read_text("utf-8")))
    began = time.process_time()
    model = weft.train(
        HERE.parent / plan["base"],
        f"name={folder.name}",
        f"out={folder.parent}",
        f"training.seed={seed}",
        *settings,
        say=lambda line: None,
    )
    validated = [one["scores"]["mse"] for one in read_log(folder / "log.jsonl") if one["event"] == "validation"]
    dev = min(mse for mse in validated if mse is not None)
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    trial = Trial(candidate, seed, dev, time.process_time() - began, parameters)
    write_text(kept, json.dumps(asdict(trial), indent=1))
    return trial


def results(plans: Sequence[dict[str, Any]], out: Path) -> Iterator[tuple[dict[str, Any], list[Result]]]:
    """Each plan with file and horizon, and the results of all its seeds."""
    for plan in plans:
        for file in ("ETTh1", "ETTh2"):
            for horizon in plan["horizons"]:
                found = sorted(out.glob(f"{plan['name']}-{file}-{horizon}-*/{RESULT}"))
                if found:
                    yield plan, [read(path) for path in found]


def read(path: Path) -> Result:
    found = json.loads(path.read_text("utf-8"))
    return Result(**found | {"trial": Trial(**found["trial"])})


def report(plans: Sequence[dict[str, Any]], out: Path) -> None:
    all_results = list(results(plans, out))
    records = [asdict(one) for _, found in all_results for one in found]
    write_text(out / "results.json", json.dumps(records, indent=1))
    heads = "recipe, file, horizon, look-back, seeds, MSE / MAE, dev MSE, published, repeat last, repeat season, core s"
    names = heads.split(", ")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [row(plan, found) for plan, found in all_results]
    write_text(out / "results.md", "\n".join(lines) + "\n")
    print(lines[-1], flush=True)


def row(plan: dict[str, Any], found: Sequence[Result]) -> str:
    one = found[0]
    tables = plan.get("published", {}).get(one.file, {})
    published = [f"{name} {both(*table[one.horizon])}" for name, table in tables.items() if one.horizon in table]
    deviation = f" (± {stdev(each.mse for each in found):.3f})" if len(found) > 1 else ""
    cells = [
        plan["name"],
        one.file,
        str(one.horizon),
        ", ".join(str(value) for value in one.chosen.values()),
        str(len(found)),
        both(mean(each.mse for each in found), mean(each.mae for each in found)) + deviation,
        f"{mean(each.trial.dev for each in found):.3f}",
        "; ".join(published) or "–",
        both(*one.last),
        both(*one.seasonal),
        f"{mean(each.trial.seconds for each in found):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def both(mse: float, mae: float) -> str:
    return f"{mse:.3f} / {mae:.3f}"


if __name__ == "__main__":
    main()
