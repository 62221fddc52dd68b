"""The simpler simple recurrent unit, which knows what was said without looking back at it.

N hypotheses, T length, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SSRU(nn.Module):
    """f_t = sigmoid(W_t x_t + b_f), c_t = f_t * c_{t-1} + (1 - f_t) * W x_t, o_t = ReLU(c_t) (Kim et al. 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.forget = nn.Linear(width, width)
        self.candidate = nn.Linear(width, width, bias=False)

    def before(self, x: Tensor) -> Tensor:
        """(B,...) -> c_0 = 0, (B,D)."""
        return x.new_zeros(len(x), self.forget.out_features)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x (N,T,D), past c_0 (N,D) -> o (N,T,D), c_T (N,D)."""
        forget = torch.sigmoid(self.forget(x))
        fresh = (1 - forget) * self.candidate(x)
        states = []
        for f, new in zip(forget.unbind(1), fresh.unbind(1), strict=True):
            past = torch.addcmul(new, f, past)
            states.append(past)
        return torch.relu(torch.stack(states, 1)), past
