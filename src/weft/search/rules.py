"""What a hypothesis may not say next. N hypotheses, t tokens so far, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Rule(Protocol):
    def __call__(self, log_probs: Tensor, prefix: Tensor) -> Tensor:
        """log_probs (N,V), prefix (N,t) -> (N,V), -inf where a token is forbidden."""


class Never:
    """Tokens that are no output at any time."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)

    def __call__(self, log_probs: Tensor, prefix: Tensor) -> Tensor:
        log_probs[:, self.tokens] = -torch.inf
        return log_probs


class MinLength:
    """No end before so many tokens."""

    def __init__(self, length: int, end: int) -> None:
        self.length = length
        self.end = end

    def __call__(self, log_probs: Tensor, prefix: Tensor) -> Tensor:
        if prefix.size(1) < self.length:
            log_probs[:, self.end] = -torch.inf
        return log_probs


class NoRepeat:
    """No run of `length` tokens twice in one hypothesis (Paulus et al. 2018, section 2.5)."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, log_probs: Tensor, prefix: Tensor) -> Tensor:
        before = self.length - 1
        if prefix.size(1) <= before:
            return log_probs
        windows = prefix.unfold(1, self.length, 1)  # (N,t-length+1,length)
        last = prefix[:, prefix.size(1) - before :]
        same = (windows[..., :before] == last[:, None]).all(-1)
        rows, places = same.nonzero(as_tuple=True)
        log_probs[rows, windows[rows, places, before]] = -torch.inf
        return log_probs
