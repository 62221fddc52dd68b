"""v . tanh(W s + U h)"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from weft.nn import attention
from weft.recipe import Attention


class Score(attention.Score):
    """a(s, h) = v . tanh(W s + U h + w_c c) (Bahdanau et al. 2015, appendix A.1.2); c is the coverage, where asked for.

    The coverage is that of See et al. 2017, equation 11: one number a position, the attention it has had.
    """

    def __init__(self, query_width: int, memory_width: int, settings: Attention) -> None:
        super().__init__(query_width, memory_width, settings)
        width = settings.width or query_width
        self.query = nn.Linear(query_width, width, bias=False)
        self.key = nn.Linear(memory_width, width)
        self.energy = nn.Linear(width, 1, bias=False)
        self.coverage = nn.Linear(1, width, bias=False) if settings.coverage else None

    def keys(self, compared: Tensor, values: Tensor | None = None) -> Tensor:
        keys: Tensor = self.key(compared)
        return keys

    def forward(self, query: Tensor, keys: Tensor, covered: Tensor | None = None) -> Tensor:
        inner = self.query(query)[:, :, None] + keys[:, None]  # (B,Q,S,A)
        if self.coverage is not None and covered is not None:
            inner = inner + self.coverage(covered[..., None])
        energy: Tensor = self.energy(torch.tanh(inner)).squeeze(-1)
        return energy[:, None]
