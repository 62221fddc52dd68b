"""A model directory of any task, as its recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import weft.recipe
from weft.errors import WeftError
from weft.models.directory import RECIPE
from weft.models.product import Weights
from weft.tasks import series, text


def is_series(folder: str | Path) -> bool:
    """Whether a directory holds a forecaster; what is wrong with it, loading it will say."""
    path = Path(folder) / RECIPE
    return path.is_file() and weft.recipe.load(path).data.series is not None


def load(
    folder: str | Path | Sequence[str | Path],
    device: str = "cpu",
    weights: Weights = "float32",
    shortlist: bool = False,
) -> text.Model | series.SeriesModel:
    """The model in a directory that `weft train` made: a `Model` of text, or a `SeriesModel`.

    Of several directories of models of text it is the ensemble. With `weights` int8 a model of text answers faster on a
    CPU, and not quite the same; so it does with the `shortlist` that `weft shortlist` made. Raises WeftError where a
    file is missing or damaged, where target vocabularies differ, for int8 where it cannot run, and for a shortlist
    where it has no place.
    """
    if isinstance(folder, str | Path) and is_series(folder):
        if weights != "float32":
            raise WeftError(f"{folder} is a model of series, whose weights stay float32; asked for is {weights}")
        if shortlist:
            raise WeftError(f"{folder} is a model of series, which has no words to list")
        return series.load(folder, device)
    return text.load(folder, device, weights, shortlist)
