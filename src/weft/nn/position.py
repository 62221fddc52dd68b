"""Where in its sentence a token stands.

B sentences, T length, D width, Q queries, S keys, H heads, d width of a head.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from weft.errors import WeftError


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width): sin on even and cos on odd dimensions (Vaswani et al. 2017, section 3.5)."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    table = torch.empty(length, width, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate[: width // 2])
    return table.float()


class Sinusoidal(nn.Module):
    """Adds scale times the sinusoids of positions start, start+1, ...; the table grows with the longest sentence."""

    table: Tensor

    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.width = width
        self.scale = scale
        self.register_buffer("table", sinusoids(512, width) * scale, persistent=False)

    def rows(self, start: int, end: int) -> Tensor:
        """What is added at positions start to end, (end - start, D)."""
        table = self.table  # which another thread may make longer too, to another length
        if end > len(table):
            with torch.inference_mode(False):  # for what a search makes longer, training goes on with
                self.table = table = (sinusoids(2 * end, self.width) * self.scale).to(table)
        return table[start:end]

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (B,T,D) -> (B,T,D)."""
        return x + self.rows(start, start + x.size(1)).to(x.dtype)


class Learned(nn.Module):
    """Adds a learned vector for each position (Gehring et al. 2017, section 3.1).

    `stack` names the settings, as in `model.encoder`, for the error that a sentence longer than the table raises.
    """

    def __init__(self, width: int, positions: int, stack: str) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(positions, width).normal_(std=width**-0.5))
        self.stack = stack

    def rows(self, start: int, end: int) -> Tensor:
        """What is added at positions start to end, (end - start, D)."""
        if end > len(self.table):
            raise WeftError(
                f"{self.stack}.positions is {len(self.table)}, but a sentence has {end} tokens; "
                f"expected as many positions as the longest has, or {self.stack}.position: sinusoidal"
            )
        return self.table[start:end]

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (B,T,D) -> (B,T,D)."""
        return x + self.rows(start, start + x.size(1)).to(x.dtype)


class Unmarked(nn.Module):
    """Adds nothing: attention is told where tokens stand, or nobody is."""

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return x


def added(
    kind: Literal["none", "sinusoidal", "learned", "rotary", "relative"],
    width: int,
    positions: int,
    stack: str,
    scale: float = 1.0,
) -> nn.Module:
    """What a stack's inputs get added for their positions, by the recipe's name for it; designed ones are scaled."""
    if kind == "sinusoidal":
        return Sinusoidal(width, scale)
    if kind == "learned":
        return Learned(width, positions, stack)
    return Unmarked()


class Rotary(nn.Module):
    """Turns the pair (x_2i, x_2i+1) of a query or key at position m by the angle m 10000^(-2i/d) (Su et al. 2021).

    Equations 14 and 15, and their pairs of neighbours: CTranslate2's `rotary_interleave=True`, not the halves
    (x_i, x_i+d/2) of GPT-NeoX and Llama. The angles are those of the sinusoids.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.angles = Sinusoidal(width)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (B,H,T,d), at positions start, start+1, ... -> (B,H,T,d)."""
        sin, cos = self.angles.rows(start, start + x.size(-2)).unflatten(-1, (-1, 2)).unbind(-1)
        left, right = x.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack([left * cos - right * sin, left * sin + right * cos], -1)
        return turned.flatten(-2).to(x.dtype)


class Relative(nn.Module):
    """a_ij = w_clip(j-i, k) for keys and for values, shared by the heads of a layer (Shaw et al. 2018, section 3.2).

    The tables are (2k+1, d), the farthest to the left first: CTranslate2's relative_position_keys and _values.
    """

    def __init__(self, distance: int, width: int) -> None:
        super().__init__()
        self.distance = distance
        self.keys = nn.Parameter(nn.init.xavier_uniform_(torch.empty(2 * distance + 1, width)))
        self.values = nn.Parameter(nn.init.xavier_uniform_(torch.empty(2 * distance + 1, width)))

    def places(self, queries: int, keys: int) -> Tensor:
        """(Q,S) rows of the tables, where the queries are the last of the keys' positions."""
        key = torch.arange(keys, device=self.keys.device)
        return (key - key[keys - queries :, None]).clamp(-self.distance, self.distance) + self.distance

    def energy(self, q: Tensor, keys: int) -> Tensor:
        """q_i . a^K_ij, the second term of equation 5 for scaled q (B,H,Q,d): (B,H,Q,S)."""
        return torch.einsum("bhqd,qsd->bhqs", q, self.keys[self.places(q.size(-2), keys)].to(q.dtype))

    def read(self, weights: Tensor) -> Tensor:
        """sum_j alpha_ij a^V_ij, the second term of equation 3 for weights (B,H,Q,S): (B,H,Q,d)."""
        places = self.places(*weights.shape[-2:])
        return torch.einsum("bhqs,qsd->bhqd", weights, self.values[places].to(weights.dtype))
