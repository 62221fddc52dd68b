"""A recipe for a file of numbers over time that comes without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import weft.recipe
from weft.data import calendar
from weft.data.lines import read_lines
from weft.data.read import csv_rows, suffix_of, tsv_rows
from weft.data.table import MISSING, Table, is_number, read_table, time_of
from weft.errors import WeftError, counted
from weft.recipe import Recipe

LOOKED_AT = 50  # rows
SEASONS = 14  # that are looked back at, such as two weeks of hours


def date_column(what: str) -> str | None:
    """The one column of dates in a CSV or TSV file whose other columns are numbers; None for any other file."""
    suffix = suffix_of(what)
    if suffix not in (".csv", ".tsv") or not Path(what).is_file():
        return None
    lines = islice(read_lines(what), LOOKED_AT + 1)
    header, *rows = [row for _, row in (tsv_rows(lines) if suffix == ".tsv" else csv_rows(what, lines))] or [[]]
    if len(header) < 2 or not rows or any(len(row) != len(header) for row in rows):
        return None
    kinds = [kind_of([row[place] for row in rows]) for place in range(len(header))]
    if kinds.count("date") != 1 or "text" in kinds:
        return None
    name = header[kinds.index("date")]
    return name if kind_of([name]) == "text" else None


def kind_of(cells: Sequence[str]) -> str:
    """number, date or text."""
    there = [cell for cell in cells if cell.strip().lower() not in MISSING]
    if all(map(is_number, there)):
        return "number"
    try:
        for cell in there:
            time_of(cell, "")
    except WeftError:
        return "text"
    return "date"


def suggest_series(what: str, time: str, overrides: Sequence[str], say: Callable[[str], None]) -> Recipe:
    """The recipe, said in a few lines; `overrides` come last and win."""
    table = read_table(what, time)
    season = (calendar.season(table.times) if table.times is not None else None) or 24
    settings = chosen(table, season) | {"name": Path(what).name.partition(".")[0]}
    settings["data"] |= {"train": what}
    settings["data"]["series"]["time"] = time
    for override in overrides:
        weft.recipe.apply_override(settings, override)
    recipe = weft.recipe.checked(settings, "command line")
    series = recipe.data.series
    assert series is not None
    say(
        f"{counted(len(table), 'row')} of numbers with dates in '{time}': a series, to be forecast "
        f"(a file of pairs has no such column; data.series.columns=... chooses columns)"
    )
    say(
        f"{counted(series.horizon, 'row')} ahead, from the last {series.look_back}; {', '.join(shares(series.split))}  "
        f"(data.series.horizon=..., look_back=..., split=...)"
    )
    say(
        f"{recipe.model.decoder.kind} decoder, encoder {recipe.model.encoder.kind}  (model.encoder.kind=rnn "
        f"model.decoder.kind=rnn ...)"
    )
    return recipe


def shares(split: tuple[float, float, float]) -> list[str]:
    names = ("to train on", "for development", "for test")
    return [f"{part:.0%} {name}" if part <= 1 else f"{part:g} {name}" for part, name in zip(split, names, strict=True)]


def chosen(table: Table, season: int) -> dict[str, Any]:
    """A linear model of each column, which is hard to beat (Zeng et al. 2023): a season ahead, from up to fourteen."""
    rows = len(table)
    horizon = max(1, min(season, rows // 10))
    look_back = max(1, min(SEASONS * season, rows // 4))
    return {
        "data": {"series": {"look_back": look_back, "horizon": horizon}},
        "model": {
            "input": {"kind": "values", "channels": "independent", "normalize": "last"},
            "encoder": {"kind": "none"},
            "decoder": {"kind": "direct"},
            "output": {"kind": "values"},
        },
        "training": {
            "steps": 3000,
            "batch_tokens": 64 * max(look_back, horizon),
            "optimizer": {"learning_rate": 2e-3, "betas": [0.9, 0.999], "epsilon": 1e-8},
            "schedule": {"kind": "cosine", "warmup": 0, "floor": 0.05},
        },
        "validation": {"every": 100, "metric": "mse", "patience": 10},
    }
