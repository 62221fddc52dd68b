"""Where in its sentence a token stands."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width): sin on even and cos on odd dimensions (Vaswani et al. 2017, section 3.5)."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    table = torch.empty(length, width, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)
    return table.float()


class Sinusoidal(nn.Module):
    """Adds the sinusoids of positions start, start+1, ...; the table grows with the longest sentence seen."""

    table: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("table", sinusoids(512, width), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (B,T,D) -> (B,T,D)."""
        end = start + x.size(1)
        if end > self.table.size(0):
            self.table = sinusoids(2 * end, self.width).to(self.table)
        return x + self.table[start:end].to(x.dtype)
