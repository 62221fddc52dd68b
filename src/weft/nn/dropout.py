"""Dropout whose mask is cheap to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256


class Dropout(nn.Module):
    """Zero each element with probability p and scale the rest by 1/(1-p) (Srivastava et al. 2014), while training.

    On CPU, drawing one float an element costs more than the matrix products beside it. There one random word of
    64 bits decides over eight elements, which rounds p to a multiple of 1/256; the scale is that of the rounded p.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped: Tensor = ByteMask.apply(x, min(LEVELS - 1, max(1, round(self.p * LEVELS))))
        return dropped


class SameDropout(nn.Module):
    """Variational dropout: the same values at every step of a sentence (Gal & Ghahramani 2016)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(B,T,D) -> (B,T,D)."""
        if not self.training or self.p == 0.0:
            return x
        (mask,) = same_masks(self.p, len(x), [x.size(-1)], x)
        return x * mask[:, None]


def same_masks(p: float, rows: int, widths: Sequence[int], like: Tensor) -> tuple[Tensor, ...]:
    """One mask (rows,width) for each width, 0 with probability p and 1/(1-p) otherwise."""
    return tuple(like.new_empty(rows, width).bernoulli_(1 - p) / (1 - p) for width in widths)


class ByteMask(torch.autograd.Function):
    """Zero the elements whose random byte is below a level; only the mask, a byte an element, is kept for the gradient.

    Products of two types go through a slow path on CPU, and so do comparisons of bytes: the byte becomes 0 or 1 where
    it stands, and a number of the elements' own type only in the product.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, level: int) -> Tensor:
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape).clamp_(level - 1, level).sub_(level - 1)
        ctx.scale = LEVELS / (LEVELS - level)
        ctx.save_for_backward(kept)
        return kept.to(x.dtype).mul_(x).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return kept.to(upstream[0].dtype).mul_(upstream[0]).mul_(ctx.scale), None
