"""What kind of task a file of pairs is: text to text, a tag of each word, a label of each line, or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

Pair = tuple[str, str]
Shape = Literal["text", "words", "line", "labels"]

FEW_TAGS = 300  # different tags of words, at most
FEW_LABELS = 100  # different labels of lines, at most
METRICS = {
    "words": ["tag_accuracy", "exact_match"],
    "line": ["exact_match", "macro_f1"],
    "labels": ["micro_f1", "macro_f1", "exact_match"],
}
SEEN = 5  # times that each of them is seen, on average, at least


def shape_of(pairs: Sequence[Pair]) -> Shape:
    """`line` where each target is one of few words and sources are longer; `words` where there is one for each word.

    Few units that are rearranged, as letters are, are text: tags are fewer than words, and other words. `labels` are
    few units too, of which a target may have any number, and whose order says nothing.
    """
    targets = Counter(unit for _, target in pairs for unit in target.split())
    sources = {unit for source, _ in pairs for unit in source.split()}
    often = sum(targets.values()) >= SEEN * len(targets)
    lengths = [(len(source.split()), len(target.split())) for source, target in pairs]
    words = sum(source for source, _ in lengths)
    if words < 2 * len(pairs) or not often:
        return "text"
    if all(target == 1 for _, target in lengths):
        return "line" if len(targets) <= FEW_LABELS else "text"
    if len(targets.keys() & sources) > 0.5 * len(targets):
        return "text"
    if all(source == target for source, target in lengths):
        return "words" if len(targets) <= FEW_TAGS and 3 * len(targets) <= len(sources) else "text"
    return "labels" if len(targets) <= FEW_LABELS and are_sets([target for _, target in pairs]) else "text"


def are_sets(targets: Sequence[str]) -> bool:
    """Whether nothing is lost without the order: no unit stands twice in a line, no two stand in either order."""
    before: set[tuple[str, str]] = set()
    for target in set(targets):
        units = target.split()
        if len(set(units)) < len(units):
            return False
        before.update(combinations(units, 2))
    return not any((later, first) in before for first, later in before)


def of_tags(
    settings: dict[str, Any], shape: Literal["words", "line", "labels"], pairs: Sequence[Pair], same_encoder: bool
) -> dict[str, Any]:
    """Settings chosen for text to text, changed to tags: read off the same encoder, or a bidirectional LSTM."""
    tags = {unit for _, target in pairs for unit in target.split()}
    spans = any(tag.startswith("B-") for tag in tags) and all(tag[:2] in ("B-", "I-", "O") for tag in tags)
    width = min(256, settings["model"]["width"])
    source = {"source": settings["vocabulary"]["source"]} if "source" in settings["vocabulary"] else {}
    metrics = METRICS[shape]
    if shape == "words" and spans:
        metrics = ["span_f1", *metrics]
    recurrent: dict[str, Any] = {"kind": "rnn", "cell": "lstm", "width": width, "dropout": 0.4}
    decoder: dict[str, Any] = {"kind": "tags", "of": shape, "chain": shape == "words", "dropout": 0.4}
    if shape == "labels":
        decoder = {"kind": "labels", "dropout": 0.4}
    target = {"kind": "word", "size": max(8, len(tags) + 4)}
    return settings | {
        "vocabulary": {"shared": False, **source, "target": target},
        "model": {
            "width": width,
            "embedding": {"dropout": 0.3},
            "encoder": settings["model"]["encoder"] if same_encoder else recurrent,
            "context": {"of": "max"},
            "decoder": decoder,
        },
        "training": settings["training"] | {"label_smoothing": 0.0, "batch_tokens": 1024},
        "validation": settings["validation"] | {"metric": metrics[0], "metrics": metrics},
        "search": {"tags": "bio"} if shape == "words" and spans else {},
    }
