"""A model directory of any task, as its recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import weft.recipe
from weft.models.directory import RECIPE
from weft.tasks import series, text


def is_series(folder: str | Path) -> bool:
    """Whether a directory holds a forecaster; what is wrong with it, loading it will say."""
    path = Path(folder) / RECIPE
    return path.is_file() and weft.recipe.load(path).data.series is not None


def load(folder: str | Path | Sequence[str | Path], device: str = "cpu") -> text.Model | series.SeriesModel:
    """The model in a directory that `weft train` made: a `Model` of text, or a `SeriesModel`.

    Of several directories of models of text it is the ensemble. Raises WeftError where a file is missing or damaged,
    and where target vocabularies differ.
    """
    if isinstance(folder, str | Path) and is_series(folder):
        return series.load(folder, device)
    return text.load(folder, device)
