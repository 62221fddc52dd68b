"""The parts of a Transformer's layers, made ready for search: weights laid out, and a few calls for each.

B sentences, K hypotheses, N = B*K, S source length, T positions, D width; H heads, G heads of keys and values, r = H/G,
d width of a head; U places of what was said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.models.distances import Distances
from weft.models.key_values import KeyValues
from weft.models.product import Product, Weights, product
from weft.models.transformer import EncoderLayer as EncoderLayerModule
from weft.models.transformer import FeedForward as FeedForwardModule
from weft.models.transformer import HeadsOnSource, Part
from weft.nn.multi_head import Heads, RelativeSelfAttention, RotarySelfAttention
from weft.nn.multi_head import SelfAttention as SelfAttentionModule
from weft.nn.position import Rotary
from weft.nn.ssru import SSRU


class Around:
    """x + part(norm(x)), or norm(x + part(x)); it writes into x where nothing else holds that."""

    def __init__(self, part: Part) -> None:
        self.norm = norm_of(part.norm)
        self.before = part.before

    def enter(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.before else x

    def leave(self, x: Tensor, part: Tensor) -> Tensor:
        x = part.add_(x)
        return x if self.before else self.norm(x)


def norm_of(module: nn.Module) -> Callable[[Tensor], Tensor]:
    if not isinstance(module, nn.LayerNorm):
        return module
    shape, weight, bias, eps = module.normalized_shape, module.weight.detach(), module.bias.detach(), module.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)


class FeedForward:
    def __init__(self, module: FeedForwardModule, weights: Weights) -> None:
        self.around = Around(module.around)
        self.wide, self.narrow = product(module.wide, weights=weights), product(module.narrow, weights=weights)
        self.activation, self.gated = module.activation, module.gated

    def __call__(self, x: Tensor) -> Tensor:
        """(N,D) -> (N,D)."""
        hidden = self.wide(self.around.enter(x))
        if self.gated:
            hidden, gate = hidden.chunk(2, -1)
            hidden = self.activation(hidden) * gate
        elif self.activation is F.relu:
            hidden = hidden.relu_()
        else:
            hidden = self.activation(hidden)
        return self.around.leave(x, self.narrow(hidden))


class Asked(NamedTuple):
    """Heads of one attention: how many, and in which groups."""

    groups: int  # G
    shared: int  # r
    width: int  # d

    @property
    def heads(self) -> int:
        """H."""
        return self.groups * self.shared

    @classmethod
    def of(cls, heads: Heads) -> Asked:
        groups = heads.key_value.out_features // (2 * heads.width)
        return cls(groups, heads.query.out_features // heads.width // groups, heads.width)

    def queries(self, q: Tensor, sentences: int) -> Tensor:
        """(N,Hd) -> (B*G,Kr,d): what asks one head of keys is rows of one product."""
        if q.size(0) == sentences:
            return q.reshape(-1, self.shared, self.width)
        q = q.view(sentences, -1, self.groups, self.shared, self.width)
        return q.transpose(1, 2).reshape(sentences * self.groups, -1, self.width)

    def joined(self, read: Tensor, rows: int) -> Tensor:
        """(B*G,Kr,.) -> (N,Hd), or of weights (N,HS)."""
        sentences = read.size(0) // self.groups
        if rows == sentences:
            return read.view(rows, -1)
        return read.view(sentences, self.groups, rows // sentences, -1).transpose(1, 2).reshape(rows, -1)


def scaled_query(heads: Heads) -> tuple[Tensor, Tensor]:
    """W and b of queries that are divided by sqrt(d) already."""
    factor = 1 / math.sqrt(heads.width)
    return heads.query.weight * factor, heads.query.bias * factor


def queries_keys_values(heads: Heads, weights: Weights) -> Product:
    """D -> (H+2G)d."""
    return Product([scaled_query(heads), (heads.key_value.weight, heads.key_value.bias)], weights)


class Turn:
    """Rotary positions of the queries and keys in (N,T,(H+2G)d), which they are written into."""

    def __init__(self, rotary: Rotary, turned: int) -> None:
        self.rotary = rotary
        self.turned = turned  # (H+G)d

    def __call__(self, three: Tensor, start: int) -> None:
        sin, cos = self.rotary.angles.rows(start, start + three.size(1)).unflatten(-1, (-1, 2)).unbind(-1)
        pairs = three[..., : self.turned].unflatten(-1, (-1, sin.size(1), 2))
        torch.view_as_complex(pairs).mul_(torch.complex(cos, sin)[:, None])


def turn_of(heads: SelfAttentionModule, asked: Asked) -> Turn | None:
    if not isinstance(heads, RotarySelfAttention):
        return None
    return Turn(heads.rotary, asked.groups * (asked.shared + 1) * asked.width)


def distances_of(heads: SelfAttentionModule) -> Distances | None:
    return Distances(heads.relative) if isinstance(heads, RelativeSelfAttention) else None


class Looked(NamedTuple):
    x: Tensor  # (N,D)
    weights: Tensor  # (B*G,Kr,S); of a sentence alone (K,H,S)


class CrossAttention:
    """Attention of several heads to the source."""

    def __init__(self, module: HeadsOnSource, around: Part, weights: Weights) -> None:
        self.asked = Asked.of(module)
        self.around = Around(around)
        self.query = Product([scaled_query(module)], weights)
        self.out = product(module.out, weights=weights)

    def alone(self, x: Tensor, keys: Tensor, bias: Tensor, values: Tensor) -> Looked:
        """To one sentence, folded: x (K,D), keys (D,HS), bias (HS,), values (HS,D) -> (K,D), weights (K,H,S)."""
        energy = torch.addmm(bias, self.around.enter(x), keys)
        weights = torch.softmax(energy.unflatten(1, (self.asked.heads, -1)), -1)
        return Looked(self.around.leave(x, torch.mm(weights.flatten(1), values)), weights)

    def __call__(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, sentences: int) -> Looked:
        """x (N,D), keys (B*G,d,S), values (B*G,S,d), mask (B,1,S), 0 or -inf -> (N,D), weights (B*G,Kr,S)."""
        queries = self.asked.queries(self.query(self.around.enter(x)), sentences)
        energy = torch.bmm(queries, keys)
        if mask is not None:
            energy.view(sentences, -1, energy.size(2)).add_(mask)
        weights = torch.softmax(energy, -1)
        read = self.asked.joined(torch.bmm(weights, values), x.size(0))
        return Looked(self.around.leave(x, self.out(read)), weights)


class Now(NamedTuple):
    """What a step tells every layer of the places of what was said."""

    position: int
    seen: Tensor | None  # (B,1,K,1,U) 0 or -inf; None where all is seen
    distances: Tensor | None  # (B,U,T), as of `Distances.of_places`; None where places stand in their order


class SelfAttention:
    """Attention of several heads to what was said, a step of it."""

    def __init__(self, module: SelfAttentionModule, around: Part, weights: Weights) -> None:
        self.asked = Asked.of(module)
        self.around = Around(around)
        self.three = queries_keys_values(module, weights)
        self.out = product(module.out, weights=weights)
        self.turn = turn_of(module, self.asked)
        self.relative = distances_of(module)
        self.query_width = module.query.out_features

    def __call__(self, x: Tensor, said: KeyValues, layer: int, now: Now) -> Tensor:
        """(N,D) -> (N,D)."""
        groups, _, width = self.asked
        sentences = said.sentences
        three = self.three(self.around.enter(x))
        if self.turn is not None:
            self.turn(three[:, None], now.position)
        both = three[:, self.query_width :].view(sentences, -1, 2, groups, width).permute(2, 0, 3, 1, 4)
        keys, values = said.add(layer, both)
        queries = self.asked.queries(three[:, : self.query_width], sentences)
        relative = self.relative
        energy = relative.step_energy(queries, keys, now.distances) if relative else torch.bmm(queries, keys)
        if now.seen is not None:
            energy.view(sentences, groups, now.seen.size(2), -1, now.seen.size(4)).add_(now.seen)
        weights = torch.softmax(energy, -1)
        read = relative.step_read(weights, values, now.distances) if relative else torch.bmm(weights, values)
        return self.around.leave(x, self.out(self.asked.joined(read, x.size(0))))


class Recurrence:
    """The SSRU in the place of self-attention, a step of it."""

    def __init__(self, module: SSRU, around: Part, weights: Weights) -> None:
        self.around = Around(around)
        self.both = product(module.candidate, module.forget, weights=weights)

    def __call__(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x (N,D), past (N,D) -> (N,D), the next past."""
        candidate, forget = self.both(self.around.enter(x)).chunk(2, -1)
        now = torch.lerp(candidate, past, forget.sigmoid_())
        return self.around.leave(x, torch.relu(now)), now


class EncoderLayer:
    """All positions of a source at once."""

    def __init__(self, module: EncoderLayerModule, weights: Weights) -> None:
        self.asked = Asked.of(module.attention)
        self.around = Around(module.around)
        self.three = queries_keys_values(module.attention, weights)
        self.out = product(module.attention.out, weights=weights)
        self.turn = turn_of(module.attention, self.asked)
        self.relative = distances_of(module.attention)
        self.feed_forward = FeedForward(module.feed_forward, weights)

    def __call__(self, x: Tensor, sentences: int, mask: Tensor | None) -> Tensor:
        """x (B*S,D), mask (B,1,1,S), 0 or -inf, or None where all are real -> (B*S,D)."""
        groups, shared, width = self.asked
        three = self.three(self.around.enter(x)).view(sentences, -1, (shared + 2) * groups * width)
        if self.turn is not None:
            self.turn(three, 0)
        read = self.read(three, mask) if self.relative is None else self.read_by_distance(three, mask, self.relative)
        x = self.around.leave(x, self.out(read.reshape(len(x), -1)))
        return self.feed_forward(x)

    def read(self, three: Tensor, mask: Tensor | None) -> Tensor:
        """(B,S,(H+2G)d) -> (B,S,H,d)."""
        groups, shared, width = self.asked
        heads = three.unflatten(-1, (-1, width)).transpose(1, 2)
        queries, keys, values = heads.split([groups * shared, groups, groups], 1)
        read = F.scaled_dot_product_attention(queries, keys, values, mask, scale=1.0, enable_gqa=shared > 1)
        return read.transpose(1, 2)

    def read_by_distance(self, three: Tensor, mask: Tensor | None, relative: Distances) -> Tensor:
        """(B,S,(H+2G)d) -> (B,S,G,r,d)."""
        groups, shared, width = self.asked
        sentences, length, _ = three.shape
        queries, both = three.split([groups * shared * width, 2 * groups * width], -1)
        queries = queries.unflatten(-1, (groups, shared, width)).permute(0, 2, 3, 1, 4)
        both = both.unflatten(-1, (2, groups, width)).permute(2, 0, 3, 1, 4).reshape(2, -1, length, width)
        padding = None if mask is None else mask[:, 0]
        read = relative.read(queries.reshape(sentences * groups, -1, width), both[0], both[1], padding)
        return read.view(sentences, groups, shared, length, width).permute(0, 3, 1, 2, 4)
