"""Minimum Bayes risk: of several samples, the one that is most like the others (Eikema & Aziz 2020, section 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

ORDER = 6  # of character n-grams
BETA = 2  # how much more recall counts than precision

Grams = list[Counter[str]]


def by_utility(samples: Sequence[str]) -> list[tuple[int, float]]:
    """The place of each different text among the samples and its mean chrF against all of them, highest first."""
    counts = Counter(samples)
    places = {text: place for place, text in reversed(list(enumerate(samples)))}
    grams = {text: grams_of(text) for text in counts}
    utilities = [
        (place, sum(count * chrf(grams[text], grams[other]) for other, count in counts.items()) / len(samples))
        for text, place in places.items()
    ]
    return sorted(utilities, key=lambda one: (-one[1], one[0]))


def grams_of(text: str) -> Grams:
    """How often each character n-gram occurs, for n from 1; spaces do not count."""
    characters = "".join(text.split())
    return [Counter(characters[i : i + n] for i in range(len(characters) - n + 1)) for n in range(1, ORDER + 1)]


def chrf(output: Grams, reference: Grams) -> float:
    """chrF in percent (Popović 2015), what sacreBLEU gives for one sentence; but n-grams are made once a text."""
    precision = recall = 0.0
    orders = 0
    for ours, theirs in zip(output, reference, strict=True):
        if ours and theirs:
            same = sum(min(count, theirs[gram]) for gram, count in ours.items() if gram in theirs)
            precision += same / ours.total()
            recall += same / theirs.total()
            orders += 1
    if not precision + recall:
        return 0.0
    return 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall) / orders
