"""How well sources of each length come out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weft.errors import WeftError
from weft.look.canvas import ACCENT, PALE, QUIET, new_figure, save, style, written
from weft.metrics.breakdown import Bucket


def draw_length(buckets: Sequence[Bucket], path: Path, of: str = "source", unit: str = "words") -> None:
    """The score of each bucket of lengths, `of` sources or captions, above the number of items that it rests on.

    `unit` is what lengths are counted in, words or characters.

    The format (PNG, SVG or PDF) is by suffix. Raises WeftError without matplotlib or without buckets.
    """
    if not buckets:
        raise WeftError("there are no items to draw by length")
    figure = new_figure(max(4.2, 1.4 + 0.72 * len(buckets)), 3.9)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    places = range(len(buckets))
    values = [bucket.score.value for bucket in buckets]
    counts = [bucket.items for bucket in buckets]
    score = buckets[0].score
    above.plot(places, values, color=ACCENT, linewidth=1.6, marker="o", markersize=5, clip_on=False, zorder=3)
    for place, value in zip(places, values, strict=True):
        written(above, f"{value:.1f}", (place, value), 8)
    above.set_ylim(0, 1.18 * max(*values, 1.0))
    style(above, f"{score.label} by {of} length, {'higher' if score.higher_is_better else 'lower'} is better")
    below.bar(places, counts, color=PALE, width=0.62)
    for place, count in zip(places, counts, strict=True):
        written(below, f"{count:,}", (place, count), 2, 7.5, QUIET)
    style(below, "items")
    below.set_ylim(0, 1.35 * max(counts))
    below.set_yticks([])
    below.grid(False)
    below.set_xticks(places, [f"{bucket.label}\n{bucket.note}".rstrip() for bucket in buckets])
    below.set_xlabel(f"{of} length, {unit}", fontsize=8.5, color=QUIET)
    below.set_xlim(-0.6, len(buckets) - 0.4)
    figure.tight_layout(pad=1.4, h_pad=1.2)
    save(figure, path)
