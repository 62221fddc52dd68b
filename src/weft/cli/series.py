"""What weft evaluate, predict and look do where the model is of series."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.cli.evaluate import check_picture, check_place, write_jsonl, writing
from weft.errors import WeftError, counted, nearest

if TYPE_CHECKING:
    from weft.look.forecast import Drawn
    from weft.tasks.series import Comparison, SeriesModel

SHOWN = 3  # windows of a picture


def refuse_others(options: argparse.Namespace, parser: argparse.ArgumentParser, taken: Sequence[str]) -> None:
    """WeftError for an option that is about text."""
    for action in parser._actions:
        if action.dest in taken or not action.option_strings:
            continue
        if getattr(options, action.dest, action.default) != action.default:
            raise WeftError(f"{action.option_strings[0]} is about text; {options.model} is a model of series")


def evaluate(options: argparse.Namespace) -> int:
    """Scores on the test part of the recipe's file, or on all of another file, beside both baselines."""
    from rich.console import Console

    from weft.look.forecast import draw_errors, print_comparison
    from weft.tasks.series import load

    if len(options.files) > 1:
        raise WeftError(f"a series is one file; {counted(len(options.files), 'file')} given")
    if options.jsonl:
        check_place(Path(options.jsonl), Path(options.jsonl).parent)
    if options.picture:
        check_picture(Path(options.picture))
    model = load(options.model, options.device)
    file = options.files[0] if options.files else None
    series, part, _ = model.test_part(file)
    found = model.compare(series, part)
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    title = file or f"test part of {model.recipe.data.train}"
    print_comparison(found, model.scaler.columns, title, Console(highlight=False))
    if options.jsonl:
        write_jsonl(records(found, model.scaler.columns), Path(options.jsonl))
    if options.picture:
        with writing(Path(options.picture)):
            draw_errors(found, Path(options.picture))
    return 0


def records(found: Comparison, columns: Sequence[str]) -> list[dict[str, Any]]:
    """A record for each row ahead and column: MSE and MAE of the model, MSE of the baselines; None for none."""
    told = []
    for row in range(len(found.model.count)):
        for place, column in enumerate(columns):
            each = [(name, errors.of_rows(row, row + 1).of_column(place)) for name, errors in found.rows()]
            (_, model), *others = each
            record: dict[str, Any] = {"row": row + 1, "column": column, "mse": model.mse, "mae": model.mae}
            record |= {f"mse_{name.replace(' ', '_')}": errors.mse for name, errors in others}
            told.append({key: None if value != value else value for key, value in record.items()})  # JSON has no NaN
    return told


def predict(options: argparse.Namespace) -> int:
    """The rows after the last one, as CSV or JSONL."""
    from weft.tasks.series import load

    forecast = load(options.model, options.device).predict(options.file)
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    if options.jsonl:
        for record in forecast.records():
            print(json.dumps(record, ensure_ascii=False))
    else:
        print(forecast, end="")
    return 0


def look(options: argparse.Namespace) -> int:
    """Forecasts of some windows over what came."""
    from weft.look.forecast import draw_forecasts
    from weft.tasks.series import load

    drawn = Path(options.out or Path(options.model) / "forecast.png")
    check_picture(drawn)
    model = load(options.model, options.device)
    columns = options.column or model.scaler.columns[-1:]
    for column in columns:
        if column not in model.scaler.columns:
            there = ", ".join(model.scaler.columns)
            near = nearest(column, model.scaler.columns)
            raise WeftError(f"the model forecasts no column '{column}'; its columns are {there}{near}")
    panels = panels_of(model, columns, options.forecast or None)
    with writing(drawn):
        draw_forecasts(panels, drawn)
    print(drawn)
    return 0


def panels_of(model: SeriesModel, columns: Sequence[str], file: str | None) -> list[list[Drawn]]:
    """For each column, windows spread evenly over the test part or the file."""
    import numpy as np

    from weft.data.calendar import written
    from weft.look.forecast import Drawn
    from weft.tasks.series import repeated

    series, part, _ = model.test_part(file)
    windows = model.windows(series, part)
    if not len(windows):
        raise WeftError(f"the {part.name} part is too short for a window of {windows.horizon} rows ahead")
    rows = np.unique(np.linspace(0, len(windows) - 1, SHOWN).astype(np.int64))
    found = np.moveaxis(model.forecasts(windows, rows), -1, 0)  # (Q,B,T,C)
    batch = windows.batch(rows)
    count, levels = len(model.scaler.columns), model.network.quantiles
    unscaled = model.scaler.unscaled
    past, truth = unscaled(batch.source.data[..., :count].numpy()), unscaled(batch.gold.data.numpy())
    season = model.scaler.season
    seasonal = (
        None if season is None else unscaled(repeated(series.values, windows.starts[rows], windows.horizon, season))
    )
    numbers = unscaled(found)
    panels = []
    for column in columns:
        place = model.scaler.columns.index(column)
        panels.append(
            [
                Drawn(
                    f"{column}, from "
                    + (f"row {start + 1}" if series.times is None else written(series.times[start : start + 1])[0]),
                    past[window, :, place],
                    truth[window, :, place],
                    numbers[levels.index(0.5), window, :, place],
                    (numbers[0, window, :, place], numbers[-1, window, :, place]) if len(levels) > 1 else None,
                    f"{100 * (levels[-1] - levels[0]):.0f}% interval",
                    None if seasonal is None else seasonal[window, :, place],
                )
                for window, start in enumerate(windows.starts[rows].tolist())
            ]
        )
    return panels
