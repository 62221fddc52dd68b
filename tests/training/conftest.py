"""A recipe for something small to learn, that a test can change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from learning import MODELS, write_pairs

Write = Callable[..., Path]


@pytest.fixture
def recipe_file(tmp_path: Path) -> Write:
    """Writes pairs that are to be reversed and a recipe for them; gives the recipe's path."""

    def write(model: str = "rnn", count: int = 240, reverse: bool = True, name: str = "run", **training: Any) -> Path:
        write_pairs(tmp_path / "pairs.tsv", count, (lambda x: x[::-1]) if reverse else (lambda x: x))
        recipe = {
            "out": str(tmp_path / "runs"),
            "data": {"train": str(tmp_path / "pairs.tsv"), "dev_fraction": 0.2},
            "vocabulary": {"source": {"kind": "word", "size": 20}, "target": {"kind": "word", "size": 20}},
            "model": MODELS[model],
            "training": {
                "steps": 24,
                "batch_tokens": 128,
                "save_every": 4,
                "threads": 1,
                "optimizer": {"learning_rate": 0.005},
                "schedule": {"warmup": 10},
                **training,
            },
            "validation": {"every": 8, "metrics": ["line_error_rate"]},
            "search": {"beam": 2},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path

    return write
