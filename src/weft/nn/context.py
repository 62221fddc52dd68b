"""The fixed-length vector c, in which the whole source is told, and how a decoder takes it in."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from weft.errors import WeftError


class Summary(nn.Module):
    """c = q({h_1..h_S}): the last state, their mean, their maximum, or a learned weighted sum."""

    def __init__(self, of: Literal["last", "mean", "max", "weighted"], width: int) -> None:
        super().__init__()
        self.of = of
        self.score = nn.Linear(width, 1, bias=False) if of == "weighted" else None

    def forward(self, values: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        """values (B,S,M), mask (B,S), last (B,M): the encoder's own last state -> (B,M)."""
        if self.of == "last":
            return last
        if self.of == "max":
            return values.masked_fill(~mask[..., None], -torch.inf).amax(1)
        return (self.shares(values, mask)[:, None] @ values).squeeze(1)

    def shares(self, values: Tensor, mask: Tensor) -> Tensor:
        """How much of each state is in c, (B,S); of the maximum: of how many values a state is the largest."""
        if self.score is not None:
            energy = self.score(values).squeeze(-1).masked_fill(~mask, -torch.inf)
            return torch.softmax(energy, -1)
        shares = mask.to(values.dtype)
        if self.of == "last":
            shares = shares * (mask.cumsum(1) == mask.sum(1, keepdim=True))
        elif self.of == "max":
            largest = values.masked_fill(~mask[..., None], -torch.inf).argmax(1)
            shares = torch.zeros_like(shares).scatter_add(1, largest, torch.ones_like(largest, dtype=shares.dtype))
        return shares / shares.sum(1, keepdim=True)


class Transform(nn.Module):
    """tanh(W c), W c, or c itself where the widths agree (Cho et al. 2014, Sutskever et al. 2014)."""

    def __init__(self, kind: Literal["none", "linear", "tanh"], width: int, out: int) -> None:
        super().__init__()
        if kind == "none" and width != out:
            raise WeftError(
                f"model.context.transform is none, but the encoder's vector is {width} wide and the decoder takes "
                f"{out}; expected equal widths, or transform: tanh"
            )
        self.linear = nn.Identity() if kind == "none" else nn.Linear(width, out)
        self.bound = kind == "tanh"

    def forward(self, context: Tensor) -> Tensor:
        """(B,M) -> (B,out)."""
        moved: Tensor = self.linear(context)
        return torch.tanh(moved) if self.bound else moved
