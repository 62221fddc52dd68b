"""Spans of tags: B-x begins one, I-x goes on with it, as the conlleval script of CoNLL-2000 counts them.

Other schemes are known by their letters: M goes on as I does, E and L go on for the last time, S and U are a span of
one tag. Without a kind, `B I O`, spans are all of one.
"""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[int, int, str]  # the first place, the one after the last, the kind

FIRST, INSIDE, LAST, ALONE = {"B"}, {"I", "M"}, {"E", "L"}, {"S", "U"}


def spans(tags: Sequence[str]) -> set[Span]:
    """The spans of one line; what goes on after something else begins a span too, and other tags are outside of any."""
    found: set[Span] = set()
    begun: int | None = None
    kind = ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, of = tag.partition("-")
        if begun is not None and not (prefix in INSIDE | LAST and of == kind):
            found.add((begun, place, kind))
            begun = None
        if begun is None and prefix in FIRST | INSIDE | LAST | ALONE:
            begun, kind = place, of
        if begun is not None and prefix in LAST | ALONE:
            found.add((begun, place + 1, kind))
            begun = None
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
