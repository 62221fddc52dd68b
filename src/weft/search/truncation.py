"""Which tokens may be drawn at all. All take and give log-probabilities (...,V), and what is left sums to one."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def top_k(log_probs: Tensor, count: int) -> Tensor:
    """The `count` most probable tokens (Fan et al. 2018)."""
    most = log_probs.topk(min(count, log_probs.size(-1)), -1).indices
    return without(log_probs, torch.ones_like(log_probs, dtype=torch.bool).scatter_(-1, most, False))


def top_p(log_probs: Tensor, part: float) -> Tensor:
    """The fewest tokens that together are as probable as `part` (nucleus sampling, Holtzman et al. 2020)."""
    ordered, places = log_probs.sort(dim=-1, descending=True, stable=True)
    probs = ordered.exp()
    enough = probs.cumsum(-1) - probs >= part  # what comes before is enough already
    return without(log_probs, torch.empty_like(enough).scatter_(-1, places, enough))


def min_p(log_probs: Tensor, part: float) -> Tensor:
    """Tokens at least `part` times as probable as the most probable one (Nguyen et al. 2025)."""
    return without(log_probs, log_probs < log_probs.amax(-1, keepdim=True) + math.log(part))


def without(log_probs: Tensor, dropped: Tensor) -> Tensor:
    return log_probs.masked_fill(dropped, -torch.inf).log_softmax(-1)
