"""The Transformer (Vaswani et al. 2017), with the norms, activations, positions and heads that came after it.

B sentences, K hypotheses, N = B*K, S source length, T target length, D width, M width of the memory, H heads, G heads
of keys and values, d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.models.base import Decoder, Encoder, Memory, last_of
from weft.nn.attention import Attention
from weft.nn.context import Transform
from weft.nn.dropout import Dropout
from weft.nn.fused import Fused, reset_linear
from weft.nn.multi_head import MultiHead, RelativeSelfAttention, RotarySelfAttention, SelfAttention
from weft.nn.position import added
from weft.nn.ssru import SSRU
from weft.recipe import Attention as AttentionSettings
from weft.recipe import Context, TransformerStack
from weft.recipe import TransformerDecoder as DecoderSettings
from weft.recipe import TransformerEncoder as EncoderSettings

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer": partial(nn.LayerNorm, eps=1e-5),
    "rms": partial(nn.RMSNorm, eps=1e-5),
}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "swish": F.silu,
    "glu": torch.sigmoid,
    "reglu": F.relu,
    "geglu": F.gelu,
    "swiglu": F.silu,
}


class Part(nn.Module):
    """What surrounds each part of a layer: x + dropout(part(norm(x))), or norm(x + dropout(part(x)))."""

    def __init__(self, width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.norm = NORMS[settings.norm_kind](width)
        self.dropout = Dropout(settings.dropout)
        self.before = settings.norm == "pre"

    def enter(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.before else x

    def leave(self, x: Tensor, part: Tensor) -> Tensor:
        x = x + self.dropout(part)
        return x if self.before else self.norm(x)


class FeedForward(nn.Module):
    """W_2 f(W x) (section 3.3), or gated, W_2 (f(W x) * V x) (Shazeer 2020, equations 5 and 6, with biases)."""

    def __init__(self, width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.gated = settings.activation.endswith("glu")
        self.wide = Fused(width, settings.feed_forward, 2 if self.gated else 1)
        self.narrow = nn.Linear(settings.feed_forward, width)
        self.activation = ACTIVATIONS[settings.activation]
        self.around = Part(width, settings)

    def forward(self, x: Tensor) -> Tensor:
        """(...,D) -> (...,D)."""
        hidden = self.wide(self.around.enter(x))
        if self.gated:
            hidden, gate = hidden.chunk(2, -1)
            hidden = self.activation(hidden) * gate
        else:
            hidden = self.activation(hidden)
        return self.around.leave(x, self.narrow(hidden))


def self_attention(width: int, settings: TransformerStack) -> SelfAttention:
    shape = (width, settings.heads, settings.attention_dropout, settings.key_value_heads)
    if settings.position == "rotary":
        return RotarySelfAttention(*shape)
    if settings.position == "relative":
        return RelativeSelfAttention(*shape, settings.distance)
    return SelfAttention(*shape)


def final_norm(width: int, settings: TransformerStack) -> nn.Module:
    return NORMS[settings.norm_kind](width) if settings.norm == "pre" else nn.Identity()


def kept(settings: TransformerStack, training: bool) -> list[bool]:
    """Which layers take part (Fan et al. 2020, section 3.2): all, or while training each with 1 - layer_drop."""
    if not training or settings.layer_drop == 0.0:
        return [True] * settings.layers
    return (torch.rand(settings.layers) >= settings.layer_drop).tolist()


class EncoderLayer(nn.Module):
    def __init__(self, width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.attention = self_attention(width, settings)
        self.around = Part(width, settings)
        self.feed_forward = FeedForward(width, settings)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B,S,D), mask (B,1,S) -> (B,S,D)."""
        seen, _ = self.attention(self.around.enter(x), mask=mask)
        y: Tensor = self.feed_forward(self.around.leave(x, seen))
        return y


class TransformerEncoder(Encoder):
    """Section 3.1; the context is the state at each sentence's last token. `position_scale` is of added positions."""

    def __init__(self, width: int, settings: EncoderSettings, position_scale: float = 1.0) -> None:
        super().__init__()
        self.settings = settings
        self.width = width
        self.position = added(settings.position, width, settings.positions, "model.encoder", position_scale)
        self.dropout = Dropout(settings.dropout)
        self.layers = nn.ModuleList(EncoderLayer(width, settings) for _ in range(settings.layers))
        self.norm = final_norm(width, settings)
        reset_linear(self)

    def forward(self, x: Padded) -> Memory:
        mask = x.mask()
        values = self.dropout(self.position(x.data))  # section 5.4
        for layer, takes_part in zip(self.layers, kept(self.settings, self.training), strict=True):
            if takes_part:
                values = layer(values, mask[:, None])
        values = self.norm(values)
        return Memory(values, mask, last_of(values, x.lengths))


class TransformerFixed(NamedTuple):
    keys: tuple[Tensor | None, ...]  # of each layer (B,S,2Gd) or (B,S,A); None where it looks at no source
    values: Tensor  # (B,S,M)
    mask: Tensor  # (B,1,S)
    every: Tensor | None  # (B,1,D), what the context adds to the input of every step
    kept: tuple[bool, ...]  # the layers that take part, drawn once for a sentence


class TransformerState(NamedTuple):
    said: Tensor  # (N,t,0) holds nothing: its length is the number of steps so far, known without asking the device
    layers: tuple[Tensor, ...]  # of each the keys and values of what was said (N,t,2Gd), or its SSRU's state (N,D)


class HeadsOnSource(MultiHead):
    """Multi-head attention to all of the source (section 3.2.3)."""

    def of(self, memory: Memory) -> Tensor:
        """(B,S,2Gd), once for a sentence."""
        return self.keys(memory.values, memory.compared)

    def look(
        self, queries: Tensor, keys: Tensor, fixed: TransformerFixed, steps: range, want_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """queries (B,Q,D) -> (B,Q,D), weights (B,H,Q,S) where wanted."""
        seen: tuple[Tensor, Tensor | None] = self(queries, keys, fixed.mask, want_weights)
        return seen


class ScoreOnSource(Attention):
    """Attention by any other score or to a window only, and a matrix from what it reads to the layer's width."""

    def __init__(self, width: int, memory_width: int, settings: AttentionSettings) -> None:
        super().__init__(width, memory_width, settings)
        self.out = nn.Linear(self.width, width)

    def of(self, memory: Memory) -> Tensor:
        """(B,S,A), once for a sentence."""
        return self.keys(memory.keys, memory.values)

    def look(
        self, queries: Tensor, keys: Tensor, fixed: TransformerFixed, steps: range, want_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """queries (B,Q,D), steps their T numbers, the same for all K = Q/T -> (B,Q,D), weights (B,H,Q,S)."""
        each = torch.arange(steps.start, steps.stop, device=queries.device).repeat(queries.size(1) // len(steps))
        read, weights = self(queries, keys, fixed.values, fixed.mask, each)
        return self.out(read), weights


def source_attention(width: int, memory_width: int, settings: DecoderSettings) -> HeadsOnSource | ScoreOnSource | None:
    if settings.attention is None:
        return None
    if settings.attention.kind == "multi_head" and settings.attention.window == "global":
        shape = (settings.heads, settings.attention_dropout, None, settings.key_value_heads)
        return HeadsOnSource(width, memory_width, *shape)
    return ScoreOnSource(width, memory_width, settings.attention)


class DecoderLayer(nn.Module):
    """Self-attention or the SSRU in its place, attention to the source unless there is none, and feed-forward."""

    def __init__(self, width: int, memory_width: int, settings: DecoderSettings) -> None:
        super().__init__()
        self.self_attention = SSRU(width) if settings.past == "ssru" else self_attention(width, settings)
        self.around_self = Part(width, settings)
        self.attention = source_attention(width, memory_width, settings)
        self.around_attention = None if self.attention is None else Part(width, settings)
        self.feed_forward = FeedForward(width, settings)

    def forward(
        self, x: Tensor, past: Tensor, keys: Tensor | None, fixed: TransformerFixed, steps: range, want_weights: bool
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """x (N,T,D), past (N,...), T steps -> (N,T,D), weights (B,H,Q,S) where wanted, the next past.

        With N = B all T positions are queries of their sentence; with T = 1 its hypotheses are.
        """
        seen, past = self.self_attention(self.around_self.enter(x), past)
        x, weights = self.around_self.leave(x, seen), None
        if self.attention is not None and self.around_attention is not None and keys is not None:
            queries = self.around_attention.enter(x).reshape(len(keys), -1, x.size(-1))
            seen, weights = self.attention.look(queries, keys, fixed, steps, want_weights)
            x = self.around_attention.leave(x, seen.view(x.shape))
        return self.feed_forward(x), weights if want_weights else None, past


class TransformerDecoder(Decoder[TransformerFixed, TransformerState]):
    """Section 3.1. The weights that it gives are those of the last layer, the closest to the output.

    The fixed vector c, transformed, is one position more, before the first token and without a place among the added
    positions (given first), and a part of every input (given every). With attention to the source the recipe's default,
    first, is the plain Transformer, which has no such position; it takes given: both to have it.
    """

    parallel = True

    def __init__(
        self,
        width: int,
        memory_width: int,
        settings: DecoderSettings,
        context: Context,
        position_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.width = width
        self.position = added(settings.position, width, settings.positions, "model.decoder", position_scale)
        first = context.as_position(settings.attention)
        self.first = Transform(context.transform, memory_width, width) if first else None
        self.every = Transform(context.transform, memory_width, width) if context.at_every_step else None
        self.dropout = Dropout(settings.dropout)
        self.layers = nn.ModuleList(DecoderLayer(width, memory_width, settings) for _ in range(settings.layers))
        self.norm = final_norm(width, settings)
        reset_linear(self)

    def begin(self, memory: Memory) -> tuple[TransformerFixed, TransformerState, Tensor]:
        """What stays, the state before anything, and the context as positions of their own, (B,1,D) or (B,0,D)."""
        layers = [cast(DecoderLayer, layer) for layer in self.layers]
        takes_part = kept(self.settings, self.training)
        keys = tuple(
            layer.attention.of(memory) if layer.attention is not None and taken else None
            for layer, taken in zip(layers, takes_part, strict=True)
        )
        every = None if self.every is None else self.every(memory.context)[:, None]
        fixed = TransformerFixed(keys, memory.values, memory.mask[:, None], every, tuple(takes_part))
        nothing = memory.values.new_zeros(len(memory.values), 0, self.width)
        state = TransformerState(nothing[..., :0], tuple(layer.self_attention.before(nothing) for layer in layers))
        return fixed, state, nothing if self.first is None else self.first(memory.context)[:, None]

    def placed(self, x: Tensor, start: int, fixed: TransformerFixed) -> Tensor:
        """x (N,T,D), with the positions start, start+1, ... and the context added."""
        placed: Tensor = self.position(x, start)
        if fixed.every is None:
            return placed
        return (placed.view(len(fixed.every), -1, self.width) + fixed.every).view(x.shape)

    def run(
        self, x: Tensor, layers: tuple[Tensor, ...], fixed: TransformerFixed, start: int, want_weights: bool
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
        """x (N,T,D) at steps start, start+1, ... -> features (N,T,D), weights (B,H,Q,S) or None, each layer's past."""
        steps = range(start, start + x.size(1))
        x, weights = self.dropout(x), None
        after = list(layers)
        parts = [number for number, taken in enumerate(fixed.kept) if taken]
        for number in parts:
            wanted = want_weights and number == parts[-1]
            x, weights, after[number] = self.layers[number](x, layers[number], fixed.keys[number], fixed, steps, wanted)
        return self.norm(x), weights, tuple(after)

    def init(self, memory: Memory) -> tuple[TransformerFixed, TransformerState]:
        fixed, state, first = self.begin(memory)
        if self.first is not None:
            _, _, layers = self.run(first, state.layers, fixed, -1, want_weights=False)
            state = state._replace(layers=layers)
        return fixed, state

    def step(
        self, x: Tensor, state: TransformerState, fixed: TransformerFixed
    ) -> tuple[Tensor, Tensor | None, TransformerState]:
        start = state.said.size(1)
        x = self.placed(x[:, None], start, fixed)
        features, weights, layers = self.run(x, state.layers, fixed, start, want_weights=True)
        said = state.said.new_zeros(len(x), start + 1, 0)
        looked = None if weights is None else weights.transpose(1, 2).flatten(0, 1)
        return features[:, 0], looked, TransformerState(said, layers)

    def forward(self, x: Tensor, memory: Memory, want_weights: bool = True) -> tuple[Tensor, Tensor | None]:
        fixed, state, first = self.begin(memory)
        before = first.size(1)
        x = self.placed(x, 0, fixed)
        x = torch.cat([first, x], 1) if before else x
        features, weights, _ = self.run(x, state.layers, fixed, -before, want_weights)
        return features[:, before:], None if weights is None else weights[:, :, before:]
