"""Attention in several heads at once.

B sentences, Q queries, S source positions, T length, D width of the queries, M width of the memory, A width of all
heads together, H heads, G heads of keys and values, d = A/H; keys and values side by side are 2Gd wide, 2A where G = H.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.nn.dropout import Dropout
from weft.nn.fused import Fused
from weft.nn.position import Relative, Rotary


def unseen(mask: Tensor, like: Tensor) -> Tensor:
    """What is added to energies, 0 where the mask is true and -inf elsewhere: on CPU faster than filling them in."""
    return like.new_zeros(mask.shape).masked_fill(~mask, -torch.inf)


class Heads(nn.Module):
    """Concat(head_1..head_H) W_O, head_i = softmax(q_i k_i^T / sqrt(d)) v_i (Vaswani et al. 2017, section 3.2).

    Where G < H, each head of keys and values serves the H/G heads of queries after one another (Ainslie et al. 2023).
    """

    sums_weights = True  # whether the heads are weighted sums of values and of nothing else, as fused kernels have it

    def __init__(
        self,
        query_width: int,
        memory_width: int,
        heads: int,
        dropout: float = 0.0,
        width: int | None = None,
        key_value_heads: int | None = None,
    ) -> None:
        super().__init__()
        width = width or query_width
        self.width = width // heads
        self.grouped = key_value_heads is not None and key_value_heads != heads
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(query_width, width)
        self.key_value = Fused(memory_width, (key_value_heads or heads) * self.width, 2)
        self.out = nn.Linear(width, query_width)

    def keys(self, values: Tensor, compared: Tensor | None = None) -> Tensor:
        """(B,S,M) -> every head's keys and values side by side, (B,S,2Gd); keys are of `compared` where it is given."""
        if compared is None:
            keys: Tensor = self.key_value(values)
            return keys
        key, value = self.key_value.apart()
        return torch.cat([F.linear(compared, *key), F.linear(values, *value)], -1)

    def attend(
        self, q: Tensor, keys: Tensor, mask: Tensor | None, causal: bool, want_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """q (B,H,Q,d), keys (B,S,2Gd), mask broadcast to (B,Q,S) -> (B,Q,D), weights (B,H,Q,S) or None.

        Causal: the queries are the last of the positions that the keys stand for, and see none after their own.
        """
        if self.sums_weights and not want_weights and (q.is_cuda or self.fused_is_fast_on_cpu()):
            return self.fused(q, keys, mask, causal), None
        energy = self.scores(q / math.sqrt(self.width), keys)
        if mask is not None:
            energy = energy + unseen(mask[:, None], energy)
        if causal:
            queries, seen = energy.shape[-2:]
            earlier = torch.ones(queries, seen, dtype=torch.bool, device=q.device).tril(seen - queries)
            energy = energy + unseen(earlier, energy)
        weights = torch.softmax(energy, -1)
        return self.join(self.sums(self.dropout(weights), keys)), weights

    def fused_is_fast_on_cpu(self) -> bool:
        """Not with groups or dropout, nor where it would send its many small products through bf16 units."""
        dropped = self.training and self.dropout.p > 0.0
        return not (self.grouped or dropped) and torch.get_float32_matmul_precision() == "highest"

    def fused(self, q: Tensor, keys: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """(B,Q,D), by a kernel that never writes the weights; causal queries are as many as the keys."""
        k, v = keys.view(*keys.shape[:2], 2, -1, self.width).transpose(1, 3).unbind(2)
        mask = None if mask is None else mask[:, None]
        dropout = self.dropout.p * self.training
        return self.join(F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, enable_gqa=self.grouped))

    def scores(self, q: Tensor, keys: Tensor) -> Tensor:
        """q_i k_i^T of scaled q (B,H,Q,d), (B,H,Q,S)."""
        return self.by_group(q, self.split(keys.chunk(2, -1)[0]).transpose(-1, -2))

    def sums(self, weights: Tensor, keys: Tensor) -> Tensor:
        """weights (B,H,Q,S) -> each head's weighted sum of values, (B,H,Q,d)."""
        return self.by_group(weights, self.split(keys.chunk(2, -1)[1]))

    def by_group(self, x: Tensor, shared: Tensor) -> Tensor:
        """x (B,H,Q,.) @ shared (B,G,.,.): the heads of a group are rows of one product."""
        if not self.grouped:
            return x @ shared
        batch, heads, queries, last = x.shape
        return (x.reshape(batch, shared.size(1), -1, last) @ shared).view(batch, heads, queries, -1)

    def join(self, heads: Tensor) -> Tensor:
        """(B,H,Q,d) -> (B,Q,D)."""
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out

    def split(self, x: Tensor) -> Tensor:
        """(B,T,Hd) -> (B,H,T,d), however many heads."""
        return x.view(*x.shape[:2], -1, self.width).transpose(1, 2)


class MultiHead(Heads):
    """What a decoder looks at the source with."""

    def forward(
        self, query: Tensor, keys: Tensor, mask: Tensor | None, want_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """query (B,Q,D), keys (B,S,2Gd), mask broadcast to (B,Q,S) -> (B,Q,D), weights (B,H,Q,S) where wanted."""
        return self.attend(self.split(self.query(query)), keys, mask, False, want_weights)

    def energy(self, query: Tensor, keys: Tensor) -> Tensor:
        """query (B,Q,D) -> q_i k_i^T / sqrt(d), (B,H,Q,S)."""
        return self.scores(self.split(self.query(query)) / math.sqrt(self.width), keys)

    def read(self, weights: Tensor, keys: Tensor) -> Tensor:
        """weights (B,H,Q,S) -> (B,Q,D)."""
        return self.join(self.sums(weights, keys))


class SelfAttention(Heads):
    """The positions of a sequence look at each other, or each at those before it and at itself."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, key_value_heads: int | None = None) -> None:
        super().__init__(width, width, heads, dropout, key_value_heads=key_value_heads)

    def before(self, x: Tensor) -> Tensor:
        """(B,...) -> the keys and values of no tokens, (B,0,2Gd)."""
        return x.new_zeros(len(x), 0, self.key_value.out_features)

    def forward(self, x: Tensor, past: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B,T,D) -> (B,T,D), and the keys and values of past and x (B,t+T,2Gd).

        With a past (B,t,2Gd), positions see none after their own; without one, those of mask (B,1,T).
        """
        seen = 0 if past is None else past.size(1)
        q, now = self.placed(self.split(self.query(x)), self.keys(x), seen)
        keys = torch.cat([past, now], 1) if past is not None and seen else now
        out, _ = self.attend(q, keys, mask, past is not None and x.size(1) > 1, False)
        return out, keys

    def placed(self, q: Tensor, keys: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """q (B,H,T,d) and keys (B,T,2Gd), told that they stand at start, start+1, ..."""
        return q, keys


class RotarySelfAttention(SelfAttention):
    """Queries and keys are turned by an angle that grows with their position (Su et al. 2021)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, key_value_heads: int | None = None) -> None:
        super().__init__(width, heads, dropout, key_value_heads)
        self.rotary = Rotary(self.width)

    def placed(self, q: Tensor, keys: Tensor, start: int) -> tuple[Tensor, Tensor]:
        k, v = keys.chunk(2, -1)
        k = self.rotary(self.split(k), start).transpose(1, 2).flatten(2)
        return self.rotary(q, start), torch.cat([k, v], -1)


class RelativeSelfAttention(SelfAttention):
    """e_ij = q_i (k_j + a^K_ij)^T / sqrt(d), z_i = sum_j alpha_ij (v_j + a^V_ij) (Shaw et al. 2018, equations 3, 4)."""

    sums_weights = False

    def __init__(
        self, width: int, heads: int, dropout: float = 0.0, key_value_heads: int | None = None, distance: int = 16
    ) -> None:
        super().__init__(width, heads, dropout, key_value_heads)
        self.relative = Relative(distance, self.width)

    def scores(self, q: Tensor, keys: Tensor) -> Tensor:
        return super().scores(q, keys) + self.relative.energy(q, keys.size(1))

    def sums(self, weights: Tensor, keys: Tensor) -> Tensor:
        return super().sums(weights, keys) + self.relative.read(weights)
