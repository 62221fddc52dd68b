"""How a run went: the records of its log, and small panels of them over the steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.errors import WeftError
from weft.look.canvas import ACCENT, INK, QUIET, SECOND, new_figure, save, style, written
from weft.metrics.forecast import LABELS as FORECAST
from weft.metrics.score import LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VOIDED = {"train", "validation", "skip"}
PANEL_WIDTH, PANEL_HEIGHT = 4.4, 2.5  # inches


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log.jsonl that still hold.

    Where a run was resumed at step s, what it had recorded of later steps is left out, as it did them again. A record
    that was cut off while it was written is left out too. Raises WeftError for a missing file or one of another kind.
    """
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise WeftError(f"{path}: cannot be read as a log of a run: {error.strerror}") from None
    records: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        record = record_of(line, f"{path}:{number}")
        if record is None:
            continue
        if record["event"] == "resume":
            records = [past for past in records if past["event"] not in VOIDED or past["step"] <= record["step"]]
        records.append(record)
    return records


def record_of(line: str, where: str) -> dict[str, Any] | None:
    """The record on a line; None for an empty line or one that stops before its end."""
    line = line.strip()
    if not line:
        return None
    try:
        record = json.loads(line)
    except ValueError:
        if line.startswith("{"):
            return None
        record = None
    if not isinstance(record, dict) or "event" not in record:
        raise WeftError(f'{where}: not a record of a run\'s log, which looks like {{"event": "train", "step": 1, ...}}')
    return record


def draw_curves(log: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss of training and development set, each metric, learning rate and tokens per second, over the steps.

    The format (PNG, SVG or PDF) is by suffix. Raises WeftError without matplotlib, or where nothing was recorded yet.
    """
    train = [record for record in log if record["event"] == "train"]
    dev = [record for record in log if record["event"] == "validation"]
    if not train and not dev:
        raise WeftError("the log has no step of training yet, so there is nothing to draw")
    metrics = list(dict.fromkeys(name for record in dev for name in record.get("scores", {})))
    count = 3 + len(metrics)
    rows = (count + 1) // 2
    figure = new_figure(2 * PANEL_WIDTH, rows * PANEL_HEIGHT)
    grid = figure.add_gridspec(rows, 2)
    wide = count % 2  # an odd panel out is the loss, over the whole width
    losses = figure.add_subplot(grid[0, :] if wide else grid[0, 0])
    others = [figure.add_subplot(grid[divmod(place, 2)]) for place in range(1 + wide, 2 * rows)]
    draw_loss(losses, train, dev)
    for axes, name in zip(others, metrics, strict=False):
        draw_metric(axes, name, dev)
    rate, speed = others[-2:]
    line(rate, train, "learning_rate", QUIET)
    style(rate, "learning rate")
    rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    line(speed, train, "tokens_per_second", QUIET)
    style(speed, "tokens per second")
    speed.set_ylim(bottom=0)
    speed.yaxis.set_major_formatter(lambda value, _: thousands(value))
    last = max(record["step"] for record in (*train, *dev))
    for axes in (losses, *others):
        axes.set_xlim(0, last * 1.02 or 1)
        axes.xaxis.set_major_formatter(lambda value, _: thousands(value))
        axes.locator_params(nbins=5)
    figure.supxlabel("steps", y=0.025, fontsize=8.5, color=QUIET)
    figure.tight_layout(pad=1.6, h_pad=2.2, w_pad=2.4)
    save(figure, path)


def draw_loss(axes: Axes, train: Sequence[Mapping[str, Any]], dev: Sequence[Mapping[str, Any]]) -> None:
    line(axes, train, "loss", ACCENT, label="train")
    line(axes, dev, "loss", SECOND, label="dev")
    scores: Mapping[str, float] = next((record["scores"] for record in dev if record.get("scores")), {})
    style(axes, "loss per value" if "mse" in scores else "loss per token, nats")
    axes.legend(  # beside the title: a loss may go up as well as down
        fontsize=8,
        frameon=False,
        labelcolor=INK,
        handlelength=1.2,
        ncols=2,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.0,
    )


def draw_metric(axes: Axes, name: str, dev: Sequence[Mapping[str, Any]]) -> None:
    scores = [{"step": record["step"], "value": record.get("scores", {}).get(name)} for record in dev]
    line(axes, scores, "value", ACCENT)
    style(axes, f"{(LABELS | FORECAST).get(name, name)}, dev")
    best: Mapping[str, Any] = next((record for record in reversed(dev) if record.get("best")), {})
    value = best.get("scores", {}).get(name)
    if value is not None:
        mark(axes, best["step"], value)


def line(axes: Axes, records: Sequence[Mapping[str, Any]], key: str, colour: str, label: str = "") -> None:
    """A line through the records that have the key; dots too where there are few of them, thinner where many."""
    points = [(record["step"], record[key]) for record in records if record.get(key) is not None]
    steps, values = [step for step, _ in points], [value for _, value in points]
    dots = "o" if len(points) <= 30 else ""
    width = 1.5 if dots else 1.1
    axes.plot(
        steps, values, color=colour, linewidth=width, marker=dots, markersize=3.2, label=label, clip_on=False, zorder=3
    )


def mark(axes: Axes, step: float, value: float) -> None:
    """A ring around the best point, with its value."""
    (ring,) = axes.plot([step], [value], "o", markersize=8, markeredgewidth=1.4, clip_on=False, zorder=3)
    ring.set(markerfacecolor="none", markeredgecolor=SECOND)
    written(axes, f"{value:.2f}", (step, value), 9, color=SECOND)
    axes.margins(y=0.2)


def thousands(value: float) -> str:
    """`12k` of 12000."""
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"
