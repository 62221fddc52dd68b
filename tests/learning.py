"""Something small to learn, and models that are large enough to learn it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

LETTERS = "abcdef"

MODELS: dict[str, dict[str, Any]] = {
    "rnn": {
        "width": 32,
        "embedding": {"dropout": 0.1},
        "encoder": {"kind": "rnn", "width": 32, "dropout": 0.1},
        "decoder": {"kind": "rnn", "width": 32, "dropout": 0.1},
    },
    "lstm": {
        "width": 32,
        "embedding": {"dropout": 0.0},
        "encoder": {"kind": "rnn", "cell": "lstm", "width": 32, "dropout": 0.0},
        "decoder": {"kind": "rnn", "cell": "lstm", "width": 32, "dropout": 0.0},
    },
    "transformer": {
        "width": 32,
        "embedding": {"dropout": 0.1},
        "encoder": {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 64, "dropout": 0.1},
        "decoder": {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 64, "dropout": 0.1},
    },
    "post": {
        "width": 32,
        "embedding": {"dropout": 0.0},
        "encoder": {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 64, "norm": "post", "dropout": 0.0},
        "decoder": {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 64, "norm": "post", "dropout": 0.0},
    },
}


def write_pairs(path: Path, count: int, change: Callable[[list[str]], list[str]], longest: int = 6) -> None:
    """Lines of letters, and what `change` makes of them."""
    rng = random.Random(5)
    with path.open("w") as file:
        for _ in range(count):
            letters = [rng.choice(LETTERS) for _ in range(rng.randint(1, longest))]
            file.write(" ".join(letters) + "\t" + " ".join(change(letters)) + "\n")
