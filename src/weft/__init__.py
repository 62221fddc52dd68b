"""weft: train, look inside, evaluate, ship and serve sequence-to-sequence models from paired data."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.tasks.forecast import Forecast
    from weft.tasks.load import load
    from weft.tasks.series import SeriesModel
    from weft.tasks.text import Model, Prediction
    from weft.training.train import train

__version__ = version("weft")
__all__ = ["Forecast", "Model", "Prediction", "SeriesModel", "WeftError", "__version__", "load", "train"]

from weft.errors import WeftError

HOMES = {
    "train": "weft.training.train",
    "load": "weft.tasks.load",
    "Model": "weft.tasks.text",
    "Prediction": "weft.tasks.text",
    "SeriesModel": "weft.tasks.series",
    "Forecast": "weft.tasks.forecast",
}


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch only when it is asked for."""
    if name not in HOMES:
        raise AttributeError(f"module 'weft' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)
