"""What a decoder looks at.

B sentences, Q queries, S source positions, D width, A width of the keys, H heads. Masks are boolean, broadcast to
(B,Q,S), and True means a real position. Every mechanism has `keys`, computed once for a sentence, and `forward`,
which gives the weighted values (B,Q,D) and the weights (B,H,Q,S).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.nn.dropout import Dropout


class Additive(nn.Module):
    """a(s, h) = v . tanh(W s + U h) (Bahdanau et al. 2015, appendix A.1.2)."""

    def __init__(self, query_width: int, memory_width: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, width, bias=False)
        self.key = nn.Linear(memory_width, width)
        self.energy = nn.Linear(width, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """(B,S,D) -> U h, (B,S,A)."""
        keys: Tensor = self.key(values)
        return keys

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """query (B,Q,D), keys (B,S,A), values (B,S,D) -> (B,Q,D), weights (B,1,Q,S)."""
        energy = self.energy(torch.tanh(self.query(query)[:, :, None] + keys[:, None])).squeeze(-1)
        weights = torch.softmax(energy.masked_fill(~mask, -torch.inf), -1)
        return weights @ values, weights[:, None]


class MultiHead(nn.Module):
    """Concat(head_1..head_H) W_O, head_i = softmax(q_i k_i^T / sqrt(d)) v_i (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, memory_width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(memory_width, 2 * width)
        self.out = nn.Linear(width, width)

    def keys(self, values: Tensor) -> Tensor:
        """(B,S,D) -> every head's keys and values side by side, (B,S,2D)."""
        keys: Tensor = self.key_value(values)
        return keys

    def forward(
        self, query: Tensor, keys: Tensor, mask: Tensor | None, want_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """query (B,Q,D), keys (B,S,2D) -> (B,Q,D), weights (B,H,Q,S) where they are wanted."""
        q = self.split(self.query(query))
        k, v = (self.split(part) for part in keys.chunk(2, -1))
        mask = None if mask is None else mask[:, None]
        if q.is_cuda and not want_weights:
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout.p * self.training)
            return self.out(heads.transpose(1, 2).flatten(2)), None
        energy = (q / math.sqrt(q.size(-1))) @ k.transpose(-1, -2)
        weights = torch.softmax(energy if mask is None else energy.masked_fill(~mask, -torch.inf), -1)
        heads = self.dropout(weights) @ v
        return self.out(heads.transpose(1, 2).flatten(2)), weights

    def split(self, x: Tensor) -> Tensor:
        """(B,T,D) -> (B,H,T,D/H)."""
        heads: Tensor = x.unflatten(-1, (self.heads, -1))
        return heads.transpose(1, 2)
