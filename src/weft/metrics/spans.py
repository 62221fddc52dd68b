"""Spans of tags: B-x begins one, I-x goes on with it, as the conlleval script of CoNLL-2000 counts them."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[int, int, str]  # the first place, the one after the last, the kind


def spans(tags: Sequence[str]) -> set[Span]:
    """The spans of one line; an I-x after something else begins a span too, and other tags are outside of any."""
    found: set[Span] = set()
    start, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, of = tag.partition("-")
        inside = prefix in ("B", "I") and bool(of)
        if kind and not (inside and prefix == "I" and of == kind):
            found.add((start, place, kind))
            kind = ""
        if inside and not kind:
            start, kind = place, of
    return found


def span_f1(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """100 * F1 of all lines' spans together, against the first reference of each; 100 where there are none."""
    right = said = wanted = 0
    for hypothesis, alternatives in zip(hypotheses, references, strict=True):
        ours, theirs = spans(hypothesis.split()), spans(alternatives[0].split())
        right += len(ours & theirs)
        said += len(ours)
        wanted += len(theirs)
    return 100 * 2 * right / (said + wanted) if said + wanted else 100.0
