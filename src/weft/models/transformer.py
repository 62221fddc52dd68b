"""The Transformer (Vaswani et al. 2017), with its norms before or after each part.

B sentences, K hypotheses, N = B*K, S source length, T target length, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.models.base import Decoder, Encoder, Memory
from weft.nn.attention import MultiHead
from weft.nn.dropout import Dropout
from weft.nn.position import Sinusoidal
from weft.recipe import TransformerStack

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class Part(nn.Module):
    """What surrounds each part of a layer: x + dropout(part(norm(x))), or norm(x + dropout(part(x)))."""

    def __init__(self, width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(settings.dropout)
        self.before = settings.norm == "pre"

    def enter(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.before else x

    def leave(self, x: Tensor, part: Tensor) -> Tensor:
        x = x + self.dropout(part)
        return x if self.before else self.norm(x)


class FeedForward(nn.Module):
    """W_2 f(W_1 x) (section 3.3)."""

    def __init__(self, width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.wide = nn.Linear(width, settings.feed_forward)
        self.narrow = nn.Linear(settings.feed_forward, width)
        self.activation = ACTIVATIONS[settings.activation]
        self.around = Part(width, settings)

    def forward(self, x: Tensor) -> Tensor:
        """(...,D) -> (...,D)."""
        hidden = self.activation(self.wide(self.around.enter(x)))
        return self.around.leave(x, self.narrow(hidden))


class EncoderLayer(nn.Module):
    def __init__(self, width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.attention = MultiHead(width, width, settings.heads, settings.attention_dropout)
        self.around = Part(width, settings)
        self.feed_forward = FeedForward(width, settings)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B,S,D), mask (B,1,S) -> (B,S,D)."""
        inner = self.around.enter(x)
        seen, _ = self.attention(inner, self.attention.keys(inner), mask)
        y: Tensor = self.feed_forward(self.around.leave(x, seen))
        return y


class TransformerEncoder(Encoder):
    """Section 3.1; the context is the mean of the memory."""

    def __init__(self, width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.width = width
        self.position = Sinusoidal(width)
        self.layers = nn.ModuleList(EncoderLayer(width, settings) for _ in range(settings.layers))
        self.norm = final_norm(width, settings)
        reset(self)

    def forward(self, x: Padded) -> Memory:
        mask = x.mask()
        values = self.position(x.data)
        for layer in self.layers:
            values = layer(values, mask[:, None])
        values = self.norm(values)
        context = (values * mask[..., None]).sum(1) / x.lengths[:, None].to(values.dtype)
        return Memory(values, mask, context)


class DecoderLayer(nn.Module):
    def __init__(self, width: int, memory_width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.self_attention = MultiHead(width, width, settings.heads, settings.attention_dropout)
        self.around_self = Part(width, settings)
        self.attention = MultiHead(width, memory_width, settings.heads, settings.attention_dropout)
        self.around_attention = Part(width, settings)
        self.feed_forward = FeedForward(width, settings)

    def forward(
        self, x: Tensor, past: Tensor, causal: Tensor | None, keys: Tensor, mask: Tensor, want_weights: bool
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """x (N,T,D), past (N,t,2D), keys (B,S,2D), mask (B,1,S) -> (N,T,D), weights (B,H,Q,S), past (N,t+T,2D).

        With N = B all T positions are queries of their sentence; with T = 1 its hypotheses are.
        """
        inner = self.around_self.enter(x)
        now = self.self_attention.keys(inner)
        past = torch.cat([past, now], 1) if past.size(1) else now
        seen, _ = self.self_attention(inner, past, causal)
        x = self.around_self.leave(x, seen)
        queries = self.around_attention.enter(x).reshape(len(keys), -1, x.size(-1))
        seen, weights = self.attention(queries, keys, mask, want_weights)
        x = self.around_attention.leave(x, seen.view(x.shape))
        return self.feed_forward(x), weights, past


class TransformerFixed(NamedTuple):
    keys: tuple[Tensor, ...]  # of each layer (B,S,2D)
    mask: Tensor  # (B,1,S)


class TransformerDecoder(Decoder[TransformerFixed, tuple[Tensor, ...]]):
    """Section 3.1; the state is each layer's keys and values of the tokens so far, (N,t,2D).

    The weights that a step gives are those of the last layer, where the attention is closest to the output.
    """

    def __init__(self, width: int, memory_width: int, settings: TransformerStack) -> None:
        super().__init__()
        self.position = Sinusoidal(width)
        self.layers = nn.ModuleList(DecoderLayer(width, memory_width, settings) for _ in range(settings.layers))
        self.norm = final_norm(width, settings)
        self.width = width
        reset(self)

    def decoder_layers(self) -> Iterator[DecoderLayer]:
        return cast(Iterator[DecoderLayer], iter(self.layers))

    def init(self, memory: Memory) -> tuple[TransformerFixed, tuple[Tensor, ...]]:
        keys = tuple(layer.attention.keys(memory.values) for layer in self.decoder_layers())
        past = memory.values.new_zeros(len(memory.values), 0, 2 * self.width)
        return TransformerFixed(keys, memory.mask[:, None]), tuple(past for _ in self.layers)

    def run(
        self, x: Tensor, state: tuple[Tensor, ...], fixed: TransformerFixed, want_weights: bool
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
        x = self.position(x, start=state[0].size(1))
        length = x.size(1)
        causal = None if length == 1 else torch.ones(1, length, length, dtype=torch.bool, device=x.device).tril()
        weights = None
        after = []
        for number, (layer, past, keys) in enumerate(zip(self.layers, state, fixed.keys, strict=True), 1):
            last = want_weights and number == len(self.layers)
            x, weights, past = layer(x, past, causal, keys, fixed.mask, last)
            after.append(past)
        return self.norm(x), weights, tuple(after)

    def step(
        self, x: Tensor, state: tuple[Tensor, ...], fixed: TransformerFixed
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
        features, weights, state = self.run(x[:, None], state, fixed, want_weights=True)
        assert weights is not None
        return features[:, 0], weights.transpose(1, 2).flatten(0, 1), state

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        fixed, state = self.init(memory)
        features, weights, _ = self.run(x, state, fixed, want_weights=not self.training)
        return features, weights


def final_norm(width: int, settings: TransformerStack) -> nn.Module:
    return nn.LayerNorm(width) if settings.norm == "pre" else nn.Identity()


def reset(stack: nn.Module) -> None:
    """Glorot-uniform matrices and zero biases, the fused keys and values each as a matrix of its own."""
    for module in stack.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        if isinstance(module, MultiHead):
            for matrix in module.key_value.weight.data.chunk(2):
                nn.init.xavier_uniform_(matrix)
