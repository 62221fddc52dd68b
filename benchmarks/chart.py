"""What was measured, as bars: weft's in the colour of all pictures, its peers' pale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engine import Record
from weft.look.canvas import ACCENT, INK, PALE, new_figure, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {
    "transformer": "Transformer",
    "lstm": "LSTM, general attention",
    "lstm_input_feeding": "LSTM, input feeding",
    "gru_additive": "GRU, additive attention",
    "greedy_bulk": "greedy",
    "beam5_bulk": "beam of 5",
    "greedy_single": "greedy, one sentence",
    "beam5_single": "beam of 5, one sentence",
}
Bars = list[tuple[str, float]]


def panels(results: Record) -> list[tuple[str, Bars, str]]:
    """Title, bars and format of the numbers."""
    found: list[tuple[str, Bars, str]] = []
    for model, engines in results.get("training", {}).items():
        bars = [(name, one["tokens_per_second"]) for name, one in engines.items() if "tokens_per_second" in one]
        found.append((f"{TITLES[model]}: tokens/s trained", bars, ",.0f"))
    for task, engines in results.get("decoding", {}).items():
        if task not in TITLES:
            continue
        key, what = (
            ("sentences_per_second", "sentences/s") if task.endswith("bulk") else ("p50_ms", "ms, less is better")
        )
        found.append((f"{TITLES[task]}: {what}", [(name, one[key]) for name, one in engines.items()], ",.4g"))
    return [panel for panel in found if panel[1]]


def draw(results: Record, path: Path) -> None:
    """A panel for each model trained and each way of decoding; nothing where neither was measured."""
    wanted = panels(results)
    if not wanted:
        return
    columns = min(2, len(wanted))
    rows = -(-len(wanted) // columns)
    most = max(len(bars) for _, bars, _ in wanted)
    figure = new_figure(5.4 * columns, rows * (0.8 + 0.27 * most))
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for place, (title, bars, form) in zip(axes, wanted, strict=False):
        panel(place, title, bars, form)
    for left in axes[len(wanted) :]:
        left.axis("off")
    figure.tight_layout(pad=1.4)
    save(figure, path)


def panel(axes: Axes, title: str, bars: Sequence[tuple[str, float]], form: str) -> None:
    for place, (name, value) in enumerate(bars):
        axes.barh(place, value, color=ACCENT if name.startswith("weft") else PALE, height=0.66)
        axes.annotate(
            format(value, form), (value, place), (3, 0), textcoords="offset points", va="center", color=INK, size=8
        )
    style(axes, title)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.set_xlim(right=1.15 * max(value for _, value in bars))
    axes.invert_yaxis()
