"""Error rates: edits per unit of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from weft.metrics.edit import distance

UNITS = {"unit_error_rate": "whitespace", "character_error_rate": "characters"}


class Errors(NamedTuple):
    """Edits against one reference, the units which that reference has, and which of the references it is."""

    edits: int
    length: int
    reference: int

    @property
    def rate(self) -> float:
        """Edits per unit; anything in place of an empty reference is infinitely wrong."""
        if self.length:
            return self.edits / self.length
        return float("inf") if self.edits else 0.0


def split(text: str, metric: str) -> list[str]:
    """The units that `metric` counts: what stands between white space, or characters."""
    return list(text) if UNITS.get(metric) == "characters" else text.split()


def nearest_reference(hypothesis: str, references: Sequence[str], metric: str) -> Errors:
    """The errors against the reference with the lowest rate; against the first of those that are equally near."""
    output = split(hypothesis, metric)
    candidates = []
    for index, reference in enumerate(references):
        units = split(reference, metric)
        candidates.append(Errors(distance(output, units), len(units), index))
    return min(candidates, key=lambda errors: errors.rate)


def error_rate(hypotheses: Sequence[str], references: Sequence[Sequence[str]], metric: str) -> float:
    """100 * edits / units, each summed over all items; 100 where there is nothing to be said but something was."""
    edits = units = 0
    for hypothesis, alternatives in zip(hypotheses, references, strict=True):
        errors = nearest_reference(hypothesis, alternatives, metric)
        edits += errors.edits
        units += errors.length
    if not units:
        return 100.0 if edits else 0.0
    return 100 * edits / units


def exact_match(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Percent of lines that equal one of their references."""
    hits = sum(hypothesis in alternatives for hypothesis, alternatives in zip(hypotheses, references, strict=True))
    return 100 * hits / len(hypotheses)
