"""With noise, sampled pieces and a mix, a run that dies and goes on is still the one that was never disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from learning import write_pairs
from test_resume import check_dying_changes_nothing

Write = Callable[..., Path]


def noisy(recipe: Path) -> Path:
    """With noise of every kind, sampled pieces and a second corpus that is drawn more often."""
    write_pairs(recipe.parent / "more.tsv", 31, sorted)
    settings: dict[str, Any] = yaml.safe_load(recipe.read_text())
    settings["data"]["noise"] = {"drop": 0.1, "mask": 0.1, "swap": 2, "characters": 0.1, "target_drop": 0.1}
    settings["data"]["also"] = [{"train": str(recipe.parent / "more.tsv"), "weight": 1.5}]
    for side in ("source", "target"):
        settings["vocabulary"][side] = {"kind": "bpe", "size": 300, "sampling": 0.2}
    recipe.write_text(yaml.safe_dump(settings))
    return recipe


def test_dying_changes_nothing(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    check_dying_changes_nothing(noisy(recipe_file("rnn", steps=12)), monkeypatch, 10)
