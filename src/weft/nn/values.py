"""Where rows of numbers become vectors, and vectors forecasts.

N windows (times columns, where each column is seen alone), S rows looked back at, c columns, Q quantiles, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.nn.dropout import Dropout

SMALL = 1e-5  # added to a window's variance (Kim et al. 2022)


class Frame(NamedTuple):
    """What a window's values are told relative to."""

    level: Tensor  # (N,1,c)
    scale: Tensor  # (N,1,c)

    def into(self, values: Tensor) -> Tensor:
        """(N,S,c) -> the same less the level, by the scale."""
        return (values - self.level) / self.scale

    def back(self, values: Tensor) -> Tensor:
        """(N,T,c,Q) -> as they were."""
        return values * self.scale[..., None] + self.level[..., None]


def framed(values: Tensor, kind: Literal["none", "last", "mean", "standard"]) -> Frame:
    """The frame of each window and column (N,S,c), from what is not missing; 0 and 1 where all is missing."""
    one = torch.ones_like(values[:, :1])
    if kind == "none":
        return Frame(0 * one, one)
    if kind == "last":
        return Frame(carried(values)[:, -1:].nan_to_num(), one)
    level = values.nanmean(1, keepdim=True).nan_to_num()
    if kind == "mean":
        return Frame(level, one)
    variance = (values - level).square().nanmean(1, keepdim=True).nan_to_num(1.0)
    return Frame(level, (variance + SMALL).sqrt())


def carried(values: Tensor) -> Tensor:
    """(N,S,c) with the last value that was there in the place of each missing one; NaN where there was none yet."""
    there = ~values.isnan()
    if bool(there.all()):
        return values
    places = torch.arange(values.size(1), device=values.device)[None, :, None]
    return values.gather(1, torch.where(there, places, 0).cummax(1).values)


class ValuesInput(nn.Module):
    """W x + b over the values of `patch` rows; patches begin `step` rows apart, the last one ends with the window."""

    def __init__(self, features: int, width: int, patch: int, step: int, dropout: float) -> None:
        super().__init__()
        self.patch, self.step = patch, step
        self.projection = nn.Linear(patch * features, width)
        self.dropout = Dropout(dropout)

    def positions(self, rows: int) -> int:
        return math.ceil((rows - self.patch) / self.step) + 1

    def forward(self, x: Tensor) -> Tensor:
        """(N,S,features) -> (N,positions,width); rows that a first patch lacks are like the first row."""
        if self.patch > 1 or self.step > 1:
            lacking = (self.positions(x.size(1)) - 1) * self.step + self.patch - x.size(1)
            x = torch.cat([x[:, :1].expand(-1, lacking, -1), x], 1)
            x = x.unfold(1, self.patch, self.step).flatten(2)
        entered: Tensor = self.dropout(self.projection(x))
        return entered


def loss_of(
    kind: Literal["mse", "mae", "huber", "quantile"],
    forecast: Tensor,
    gold: Tensor,
    quantiles: Sequence[float],
    delta: float,
) -> tuple[Tensor, Tensor]:
    """forecast (...,Q), gold (...) with NaN for missing -> the loss summed over what is there, and how many that is."""
    there = ~gold.isnan()
    said, right = forecast[there], gold[there]
    if kind == "quantile":
        below = right[:, None] - said
        levels = said.new_tensor(quantiles)
        each = torch.maximum(levels * below, (levels - 1) * below).mean(-1)
    elif kind == "huber":
        each = F.huber_loss(said[:, 0], right, reduction="none", delta=delta)
    else:
        error = said[:, 0] - right
        each = error.square() if kind == "mse" else error.abs()
    return each.sum(), there.sum()
