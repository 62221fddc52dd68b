"""Attention to one sentence in two products: its keys and values are multiplied into the projections around them.

L layers, K hypotheses, S source length, D width; H heads, G heads of keys and values, r = H/G, d width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from weft.models.base import Rows
from weft.models.key_values import KeyValues
from weft.models.packed_layers import Asked, scaled_query
from weft.models.transformer import HeadsOnSource


class Folded(NamedTuple):
    """Energies are x keys + bias; the rows of values hold the projection's bias, as weights of a head sum to 1."""

    keys: Tensor  # (D,HS)
    bias: Tensor  # (HS,)
    values: Tensor  # (HS,D)


class OneSource(Rows):
    """Of each layer, what it looks at: that of one sentence, which none can leave before the search ends."""

    def __init__(self, layers: list[Folded]) -> None:
        self.layers = layers

    def rows(self, rows: Tensor) -> OneSource:
        assert rows.tolist() == [0]
        return self


class Folding:
    """The projections of every layer's attention to the source."""

    def __init__(self, layers: Sequence[HeadsOnSource]) -> None:
        self.asked = Asked.of(layers[0])
        heads = tuple(self.asked)
        queries = [scaled_query(layer) for layer in layers]
        asking = torch.stack([weight.detach().t() for weight, _ in queries]).unflatten(2, heads)  # (L,D,G,r,d)
        telling = torch.stack([layer.out.weight.detach().t() for layer in layers])  # (L,Hd,D)
        self.asking = asking.permute(0, 2, 3, 1, 4).flatten(2, 3).contiguous()  # (L,G,rD,d)
        self.asking_bias = torch.stack([bias.detach() for _, bias in queries]).unflatten(1, heads)  # (L,G,r,d)
        self.telling = telling.unflatten(1, heads).transpose(1, 2).contiguous()  # (L,r,G,d,D)
        self.telling_bias = torch.stack([layer.out.bias.detach() for layer in layers])[:, None] / self.asked.heads
        self.width = len(telling[0])

    def pays(self, length: int) -> bool:
        """Whether what comes out is no larger than the projections themselves."""
        return self.asked.heads * length <= self.width

    def __call__(self, source: KeyValues) -> OneSource:
        """Of one sentence, without padding."""
        shared = self.asked.shared
        keys, values = torch.stack(source.keys), torch.stack(source.values)  # (L,G,d,S), (L,G,S,d)
        asked = torch.matmul(self.asking, keys).unflatten(2, (shared, -1))  # (L,G,r,D,S)
        asked = asked.permute(0, 3, 1, 2, 4).flatten(2)
        bias = torch.matmul(self.asking_bias, keys).flatten(1)
        told = torch.matmul(values[:, None], self.telling).transpose(1, 2).flatten(1, 3).add_(self.telling_bias)
        return OneSource([Folded(*of_layer) for of_layer in zip(asked, bias, told, strict=True)])
