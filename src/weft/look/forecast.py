"""Forecasts beside what came, their errors beside those of forecasts that cost nothing, in print and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weft.look.canvas import ACCENT, INK, PALE, QUIET, SECOND, new_figure, save, style, without_glyph_warnings
from weft.metrics.forecast import Errors
from weft.tasks.series import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console
    from rich.table import Table

BANDS = 4  # parts of the horizon that are scored by themselves
WIDEST_TABLE = 10_000  # columns of a terminal
PANEL_WIDTH, PANEL_HEIGHT = 4.6, 2.3  # inches


@dataclass(frozen=True)
class Drawn:
    """One column of one window, in the units of the file."""

    title: str
    past: NDArray[np.float64]  # (S,)
    truth: NDArray[np.float64] | None  # (T,); None where it has not come yet
    forecast: NDArray[np.float64]  # (T,)
    interval: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    between: str = ""  # the interval's levels
    seasonal: NDArray[np.float64] | None = None  # (T,)


def print_comparison(found: Comparison, columns: Sequence[str], title: str, console: Console) -> None:
    """MSE and MAE of the model and of both baselines: over all, by part of the horizon, by column."""
    horizon = len(found.model.count)
    told = f"{title}, {found.windows:,} windows of {horizon} rows ahead; scaled as the training part\n"
    console.print(told, soft_wrap=True, markup=False, emoji=False)
    print_table(console, scores(found))
    edges = np.unique(np.linspace(0, horizon, min(BANDS, horizon) + 1).astype(int)).tolist()
    if len(edges) > 2:
        cuts = [(f"{begin + 1}–{end}", slice(begin, end)) for begin, end in pairwise(edges)]
        console.print()
        print_table(console, by_part("rows ahead", [(name, rows_of(found, part)) for name, part in cuts]))
    if len(columns) > 1:
        parts = [(name, columns_of(found, place)) for place, name in enumerate(columns)]
        console.print()
        print_table(console, by_part("column", parts))


def print_table(console: Console, table: Table) -> None:
    """Whole, however narrow the terminal is."""
    table.width = console.measure(table, options=console.options.update(max_width=WIDEST_TABLE)).maximum
    console.print(table, soft_wrap=True)


def rows_of(found: Comparison, part: slice) -> list[tuple[str, Errors]]:
    return [(name, errors.of_rows(part.start, part.stop)) for name, errors in found.rows()]


def columns_of(found: Comparison, place: int) -> list[tuple[str, Errors]]:
    return [(name, errors.of_column(place)) for name, errors in found.rows()]


def plain_table(*heads: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", no_wrap=True)
    return table


def scores(found: Comparison) -> Table:
    covered = found.model.coverage
    table = plain_table("", "MSE", "MAE", *(["in interval"] if covered is not None else []))
    for name, errors in found.rows():
        share = [f"{100 * errors.coverage:.1f}%"] if errors.coverage is not None else []
        table.add_row(name, f"{errors.mse:.4f}", f"{errors.mae:.4f}", *share)
    return table


def by_part(head: str, parts: Sequence[tuple[str, list[tuple[str, Errors]]]]) -> Table:
    """MSE and MAE of the model, MSE of the baselines."""
    from rich.text import Text

    others = [name for name, _ in parts[0][1][1:]]
    table = plain_table(head, "MSE", "MAE", *(f"MSE, {name}" for name in others))
    for name, ((_, model), *baselines) in parts:
        table.add_row(Text(name), f"{model.mse:.4f}", f"{model.mae:.4f}", *(f"{each.mse:.4f}" for _, each in baselines))
    return table


def draw_forecasts(panels: Sequence[Sequence[Drawn]], path: Path) -> None:
    """A row of panels for each column, a panel for each window; WeftError without matplotlib."""
    rows, width = len(panels), max(map(len, panels))
    figure = new_figure(width * PANEL_WIDTH, rows * PANEL_HEIGHT + 0.5)
    for row, of_column in enumerate(panels):
        for place, drawn in enumerate(of_column):
            axes = figure.add_subplot(rows, width, row * width + place + 1)
            draw_window(axes, drawn)
            if row + 1 == rows:
                axes.set_xlabel("rows ahead", fontsize=8, color=QUIET)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), fontsize=8, frameon=False, labelcolor=INK)
    with without_glyph_warnings():
        figure.tight_layout(pad=1.4, h_pad=2.0, w_pad=2.0, rect=(0, 0.35 / (rows * PANEL_HEIGHT + 0.5), 1, 1))
    save(figure, path)


def draw_window(axes: Axes, drawn: Drawn) -> None:
    """The end of what was looked back at, as many rows as are forecast, and the forecast over what came."""
    horizon = len(drawn.forecast)
    past = drawn.past[-max(horizon, 48) :]
    ahead = np.arange(1, horizon + 1)
    axes.plot(np.arange(1 - len(past), 1), past, color=QUIET, linewidth=1.1, label="past")
    if drawn.interval is not None:
        axes.fill_between(ahead, *drawn.interval, color=PALE, linewidth=0, label=drawn.between)
    if drawn.seasonal is not None:
        axes.plot(ahead, drawn.seasonal, color=SECOND, linewidth=0.9, linestyle=(0, (2, 2)), label="last season again")
    if drawn.truth is not None:
        axes.plot(ahead, drawn.truth, color=INK, linewidth=1.1, label="what came")
    axes.plot(ahead, drawn.forecast, color=ACCENT, linewidth=1.8, label="forecast")
    axes.axvline(0.5, color=QUIET, linewidth=0.6)
    style(axes, drawn.title)
    axes.locator_params(nbins=5)


def draw_errors(found: Comparison, path: Path) -> None:
    """Mean squared error by row ahead, beside the baselines."""
    figure = new_figure(6.4, 3.4)
    axes = figure.add_subplot()
    for (name, errors), colour in zip(found.rows(), (ACCENT, QUIET, SECOND), strict=False):
        values = errors.by_row()
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.6, label=name)
    style(axes, "MSE by row ahead")
    axes.set_ylim(bottom=0)
    axes.set_xlim(1, max(2, len(found.model.count)))
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)
    figure.tight_layout(pad=1.4)
    save(figure, path)
