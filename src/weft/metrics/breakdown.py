"""Where the errors are: the worst items, the long ones, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weft.metrics.edit import Operation, alignment
from weft.metrics.rate import UNITS, nearest_reference, split
from weft.metrics.score import (
    BLEU_ORDER,
    Score,
    by_sacrebleu,
    compute,
    higher_is_better,
    longest_order,
    sacrebleu_metric,
)

MOST_BUCKETS = 8


@dataclass(frozen=True)
class Item:
    """One line: what went in, what came out, and what could have."""

    source: str
    output: str
    references: Sequence[str]


@dataclass(frozen=True)
class Judged:
    """An item with the value that `metric` has for it alone, in percent."""

    item: Item
    metric: str
    value: float


@dataclass(frozen=True)
class Bucket:
    """The items whose source has `shortest` to `longest` units; `longest` is None where there is no limit.

    `order` is the most words in an n-gram that BLEU counts here.
    """

    shortest: int
    longest: int | None
    items: int
    score: Score
    order: int = BLEU_ORDER

    @property
    def label(self) -> str:
        if self.longest is None:
            return f"{self.shortest}+"
        return str(self.shortest) if self.shortest == self.longest else f"{self.shortest}–{self.longest}"

    @property
    def note(self) -> str:
        """`BLEU-2` where the score is not that of the other buckets."""
        return f"{self.score.label}-{self.order}" if self.order < BLEU_ORDER else ""


@dataclass(frozen=True)
class Confusion:
    """How often `output` stood where the reference has `reference`."""

    reference: str
    output: str
    count: int


def words(text: str) -> int:
    """Length in units between white space."""
    return len(text.split())


def worst(items: Sequence[Item], n: int, metric: str = "unit_error_rate") -> list[Judged]:
    """The `n` worst items, worst first, in the given order where they are equally bad.

    Items are judged by their own error rate; for BLEU and TER, which say little of a single sentence, by chrF.
    Items without an error are left out.
    """
    judge = metric if metric in UNITS else "unit_error_rate"
    if metric in {"bleu", "bleu_tokenized", "chrf", "ter"}:
        judge = "chrf"
        chrf = sacrebleu_metric("chrf", "")
        values = [by_sacrebleu(chrf, [item.output], [item.references])[0] for item in items]
    else:
        values = [100 * nearest_reference(item.output, item.references, judge).rate for item in items]
    wrong = [
        Judged(item, judge, value)
        for item, value in zip(items, values, strict=True)
        if item.output not in item.references
    ]
    return sorted(wrong, key=lambda judged: judged.value, reverse=not higher_is_better(judge))[:n]


def by_length(
    items: Sequence[Item],
    metric: str,
    target_language: str = "",
    bounds: Sequence[int] | None = None,
    length: Callable[[str], int] = words,
) -> list[Bucket]:
    """The metric over the items of each range of source lengths; ranges without items are left out.

    `bounds` are the longest source of each bucket, rising; longer ones share one more. Without it: at most eight
    buckets of a round width. In a bucket where no reference has four words, BLEU-4 is undefined, and BLEU is that of
    the longest n-grams that there are. Raises what `compute` raises.
    """
    lengths = [length(item.source) for item in items]
    limits: list[int | None] = [*(bounds if bounds is not None else round_bounds(lengths)), None]
    buckets = []
    shortest = min(lengths, default=0) if bounds is None else 0
    for longest in limits:
        inside = [
            item
            for item, units in zip(items, lengths, strict=True)
            if units >= shortest and (longest is None or units <= longest)
        ]
        if inside:
            outputs, references = [item.output for item in inside], [item.references for item in inside]
            order = longest_order(metric, references, target_language)
            score = compute([metric], outputs, references, target_language, order)[0]
            buckets.append(Bucket(shortest, longest, len(inside), score, order))
        if longest is not None:
            shortest = max(shortest, longest + 1)
    return buckets


def round_bounds(lengths: Sequence[int]) -> list[int]:
    """Multiples of 1, 2 or 5 times a power of ten: at most eight buckets or so for the lower 19 of 20 lengths."""
    if not lengths:
        return []
    most = sorted(lengths)[int(0.95 * (len(lengths) - 1))]
    lowest = min(lengths)
    steps = (digit * 10**power for power in range(10) for digit in (1, 2, 5))
    step = next(step for step in steps if most - lowest < step * (MOST_BUCKETS - 1))
    first = -(-lowest // step) * step
    return list(range(first, most + step, step))


def operations(item: Item, metric: str = "unit_error_rate") -> list[Operation]:
    """The alignment of the output with the reference that is nearest to it, in the units of `metric`."""
    reference = item.references[nearest_reference(item.output, item.references, metric).reference]
    return alignment(split(item.output, metric), split(reference, metric))


def confusions(items: Sequence[Item], n: int, metric: str = "unit_error_rate") -> list[Confusion]:
    """The `n` most frequent substitutions of one unit by another, most frequent first, then by the alphabet."""
    counts: Counter[tuple[str, str]] = Counter()
    for item in items:
        if item.output not in item.references:
            for operation in operations(item, metric):
                if operation.kind == "substitute":
                    counts[str(operation.reference), str(operation.hypothesis)] += 1
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Confusion(reference, output, count) for (reference, output), count in ranked[:n]]
