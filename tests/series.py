"""Series made on the spot, recipes for them, and small forecasters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from weft.models.forecaster import Forecaster, Shape
from weft.recipe import Model

DIRECT: dict[str, Any] = {
    "input": {"kind": "values", "channels": "independent", "normalize": "last"},
    "encoder": {"kind": "none"},
    "decoder": {"kind": "direct"},
    "output": {"kind": "values"},
}
RECURRENT: dict[str, Any] = {
    "width": 12,
    "input": {"kind": "values", "normalize": "mean"},
    "encoder": {"kind": "rnn", "width": 12, "dropout": 0.0},
    "decoder": {"kind": "rnn", "width": 12, "dropout": 0.0},
    "output": {"kind": "values"},
}


def daily_cycles(rows: int, seed: int = 1) -> np.ndarray:
    """(R,2): two cycles of eight rows with a little noise."""
    time = np.arange(rows)
    noise = np.random.default_rng(seed).normal(scale=0.1, size=(rows, 2))
    return np.stack([10 + 3 * np.sin(time * np.pi / 4), 5 * np.cos(time * np.pi / 4)], 1) + noise


def write_csv(path: Path, values: np.ndarray, change: Callable[[list[str]], None] | None = None) -> Path:
    """Columns a, b, ... with a row every three hours; `change` may spoil the lines, the header first."""
    start = datetime(2024, 1, 1)
    names = [chr(ord("a") + column) for column in range(values.shape[1])]
    lines = [",".join(["date", *names])]
    for row, numbers in enumerate(values):
        cells = ["" if np.isnan(number) else f"{number:.4f}" for number in numbers]
        lines.append(",".join([str(start + timedelta(hours=3 * row)), *cells]))
    if change is not None:
        change(lines)
    path.write_text("\n".join(lines) + "\n")
    return path


def settings(folder: Path, model: dict[str, Any] = DIRECT, **series: Any) -> dict[str, Any]:
    """A recipe that learns in seconds."""
    return {
        "name": "run",
        "out": str(folder / "runs"),
        "data": {
            "train": str(folder / "series.csv"),
            "series": {"time": "date", "look_back": 16, "horizon": 8, "split": [120, 40, 40]} | series,
        },
        "model": model,
        "training": {
            "steps": 24,
            "batch_tokens": 256,
            "save_every": 4,
            "threads": 1,
            "optimizer": {"learning_rate": 0.01},
            "schedule": {"warmup": 2},
        },
        "validation": {"every": 8, "metric": "mse"},
    }


def write_recipe(folder: Path, recipe: dict[str, Any]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def forecaster(model: Model, shape: Shape) -> Forecaster:
    """In float64, with dropout off."""
    torch.manual_seed(2)
    return Forecaster(model, shape).double().eval()
