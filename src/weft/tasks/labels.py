"""What a search says of labels, as people read it: those that are there, and how probable each one is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from weft.data.vocabulary import SPACE, Vocabulary
from weft.models.labels import FIRST, NOT
from weft.search.hypothesis import Hypothesis


def names(target: Vocabulary) -> list[str]:
    """The labels in the order in which a search says them."""
    return [piece.removeprefix(SPACE) for piece in target.pieces(range(FIRST, target.size))]


def there(hypothesis: Hypothesis, labels: Sequence[str]) -> Hypothesis:
    """The labels that are there alone, in alphabetical order, and the end."""
    places = sorted((place for place, i in enumerate(hypothesis.tokens) if i != NOT), key=lambda place: labels[place])
    kept = [*places, len(hypothesis.token_scores) - 1]
    return replace(
        hypothesis,
        tokens=[hypothesis.tokens[place] for place in places],
        token_scores=[hypothesis.token_scores[place] for place in kept],
        attention=None if hypothesis.attention is None else hypothesis.attention[kept],
    )


def probabilities(hypothesis: Hypothesis, labels: Sequence[str]) -> dict[str, float]:
    """How probable each label is, in alphabetical order, whether it is there or not."""
    said = zip(labels, hypothesis.tokens, hypothesis.token_scores, strict=False)  # the end has a score too
    found = {label: -math.expm1(score) if i == NOT else math.exp(score) for label, i, score in said}
    return dict(sorted(found.items()))
