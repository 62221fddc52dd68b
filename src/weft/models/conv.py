"""Convolutional Sequence to Sequence Learning (Gehring et al. 2017); where its text is silent, as its code (fairseq).

B sentences, K hypotheses, N = B*K, S source length, T target length, E width of the embeddings, C width of the
convolutions, k their kernel, M width of the memory, A width of the attention's keys, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from weft.data.batch import Padded
from weft.errors import WeftError
from weft.models.base import Decoder, Encoder, Memory, last_of
from weft.nn.attention import Attention
from weft.nn.context import Transform
from weft.nn.dropout import Dropout
from weft.nn.position import Learned, added
from weft.recipe import Attention as AttentionSettings
from weft.recipe import Context
from weft.recipe import ConvolutionalDecoder as DecoderSettings
from weft.recipe import ConvolutionalEncoder as EncoderSettings


def linear(inputs: int, outputs: int, gain: float = 1.0, dropout: float = 0.0) -> nn.Linear:
    """W x + b with W ~ N(0, gain (1 - dropout) / inputs), so that the output varies as the input does (section 3.5).

    Its rows are weight-normalised (section 4.2); the parameters that are kept are each row's length and direction.
    """
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=math.sqrt(gain * (1 - dropout) / inputs))
    nn.init.zeros_(layer.bias)
    return cast(nn.Linear, weight_norm(layer))


def balanced(x: Tensor, y: Tensor) -> Tensor:
    """(x + y) sqrt(0.5), which varies as one of them does (section 3.4)."""
    return (x + y) * math.sqrt(0.5)


def place(width: int, settings: EncoderSettings | DecoderSettings, stack: str, scale: float) -> nn.Module:
    """w + p (section 3.1); learned p are drawn as varied as the words are (section 3.5)."""
    if settings.position != "learned":
        return added(settings.position, width, settings.positions, stack, scale)
    learned = Learned(width, settings.positions, stack)
    nn.init.normal_(learned.table, std=scale)
    return learned


class GatedConvolution(nn.Module):
    """v(W [h_1; ..; h_k] + b) of every k neighbours, with v([A; B]) = A * sigmoid(B) (section 3.2).

    The gate passes half of small inputs, a quarter of their variance: therefore the gain of 4 (section 3.5).
    """

    def __init__(self, settings: EncoderSettings | DecoderSettings) -> None:
        super().__init__()
        self.kernel = settings.kernel
        self.linear = linear(self.kernel * settings.width, 2 * settings.width, gain=4.0, dropout=settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N,k-1+T,C) -> (N,T,C)."""
        length = x.size(1) - self.kernel + 1
        neighbours = torch.cat([x[:, first : first + length] for first in range(self.kernel)], -1)
        return F.glu(self.linear(neighbours), -1)


class ConvolutionalEncoder(Encoder):
    """Section 3.2: attention scores the outputs z and reads (z + e) sqrt(0.5), e being the embedded words."""

    def __init__(self, width: int, settings: EncoderSettings, position_scale: float = 1.0) -> None:
        super().__init__()
        self.width = width
        self.position = place(width, settings, "model.encoder", position_scale)
        self.dropout = Dropout(settings.dropout)
        self.enter = linear(width, settings.width, dropout=settings.dropout)
        self.layers = nn.ModuleList(GatedConvolution(settings) for _ in range(settings.layers))
        self.leave = linear(settings.width, width)
        self.margin = settings.kernel // 2

    def forward(self, x: Padded) -> Memory:
        mask = x.mask()
        embedded = self.dropout(self.position(x.data))
        hidden = self.enter(embedded)
        for layer in self.layers:
            hidden = hidden.masked_fill(~mask[..., None], 0.0)  # as before the first word
            padded = F.pad(self.dropout(hidden), (0, 0, self.margin, self.margin))
            hidden = balanced(layer(padded), hidden)
        outputs = self.leave(hidden)
        values = balanced(outputs, embedded)
        return Memory(values, mask, last_of(values, x.lengths), compared=outputs)


class ConvolutionalFixed(NamedTuple):
    keys: tuple[Tensor, ...]  # of each layer (B,S,A)
    values: Tensor  # (B,S,M)
    mask: Tensor  # (B,1,S)
    every: Tensor | None  # (B,1,E), what the context adds to the input of every step


class ConvolutionalState(NamedTuple):
    windows: tuple[Tensor, ...]  # each layer's last inputs (N,k-1,C)
    time: Tensor  # (N,) steps so far, the same for all


class AttentionOfLayer(nn.Module):
    """d = W h + b + g, and what it reads added to h (section 3.3, equations 1 and 2).

    A mean of m vectors varies less than they do, so that c is scaled by m sqrt(1/m) (section 3.4).
    """

    def __init__(self, width: int, memory_width: int, channels: int, settings: AttentionSettings) -> None:
        super().__init__()
        self.query = linear(channels, width)
        self.attention = Attention(width, memory_width, settings)
        self.out = linear(self.attention.width, channels)

    def forward(
        self, hidden: Tensor, fed: Tensor, steps: Tensor, keys: Tensor, fixed: ConvolutionalFixed
    ) -> tuple[Tensor, Tensor]:
        """hidden (N,T,C), fed (N,T,E), steps (Q,) their numbers, keys (B,S,A) -> (N,T,C), weights (B,H,Q,S).

        With N = B the T positions are queries of their sentence; with T = 1 its hypotheses are.
        """
        query = balanced(self.query(hidden), fed).reshape(len(keys), -1, fed.size(-1))
        read, weights = self.attention(query, keys, fixed.values, fixed.mask, steps)
        read = read * fixed.mask.sum(-1, keepdim=True).to(read.dtype).sqrt()
        return balanced(self.out(read).view(hidden.shape), hidden), weights


class DecoderLayer(nn.Module):
    """A convolution over the last k inputs, then attention; both stand inside the residual, as in the paper's code."""

    def __init__(self, width: int, memory_width: int, settings: DecoderSettings) -> None:
        super().__init__()
        self.dropout = Dropout(settings.dropout)
        self.convolution = GatedConvolution(settings)
        self.attention = (
            AttentionOfLayer(width, memory_width, settings.width, settings.attention) if settings.attention else None
        )

    def keys(self, compared: Tensor, values: Tensor) -> Tensor:
        """(B,S,M) -> (B,S,A)."""
        return self.attention.attention.keys(compared, values) if self.attention else compared

    def forward(
        self, x: Tensor, window: Tensor, fed: Tensor, steps: Tensor, keys: Tensor, fixed: ConvolutionalFixed
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """x (N,T,C), window (N,k-1,C), fed (N,T,E), steps (Q,) -> (N,T,C), weights (B,H,Q,S), the next window."""
        inputs = torch.cat([window, self.dropout(x)], 1)
        hidden, weights = self.convolution(inputs), None
        if self.attention:
            hidden, weights = self.attention(hidden, fed, steps, keys, fixed)
        return balanced(hidden, x), weights, inputs[:, x.size(1) :]


class ConvolutionalDecoder(Decoder[ConvolutionalFixed, ConvolutionalState]):
    """Sections 3.2 and 3.3; the weights that it gives are those of the last layer.

    The context, where given first, is the last position of the padding before the first token, in every layer; given
    at every step, it is added to every embedded token. With attention, a context given first alone is not taken in:
    that is plain ConvS2S.
    """

    parallel = True

    def __init__(
        self, width: int, memory_width: int, settings: DecoderSettings, context: Context, position_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.position = place(width, settings, "model.decoder", position_scale)
        self.dropout = Dropout(settings.dropout)
        self.enter = linear(width, settings.width, dropout=settings.dropout)
        self.layers = nn.ModuleList(DecoderLayer(width, memory_width, settings) for _ in range(settings.layers))
        self.leave = linear(settings.width, width)
        self.window = (settings.kernel - 1, settings.width)
        first = context.as_position(settings.attention)
        if first and settings.kernel == 1:
            raise WeftError(
                f"model.decoder.kernel is 1, so that nothing stands before the first token, where model.context.given: "
                f"{context.given} puts the context; expected a kernel of 2 or more, or given: every"
            )
        self.first = Transform(context.transform, memory_width, settings.width) if first else None
        self.every = Transform(context.transform, memory_width, width) if context.at_every_step else None
        self.gradient = 1.0 if settings.attention is None else 1 / (2 * settings.layers)

    def decoder_layers(self) -> Iterator[DecoderLayer]:
        return cast(Iterator[DecoderLayer], iter(self.layers))

    def init(self, memory: Memory) -> tuple[ConvolutionalFixed, ConvolutionalState]:
        context, sentences = memory.context, len(memory.values)
        values = scale_gradient(memory.values, self.gradient)
        compared = values if memory.compared is None else scale_gradient(memory.compared, self.gradient)
        keys = tuple(layer.keys(compared, values) for layer in self.decoder_layers())
        every = self.every(context)[:, None] if self.every else None
        window = context.new_zeros(sentences, *self.window)
        if self.first:
            window = torch.cat([window[:, 1:], self.first(context)[:, None]], 1)
        time = torch.zeros(sentences, dtype=torch.long, device=context.device)
        fixed = ConvolutionalFixed(keys, values, memory.mask[:, None], every)
        return fixed, ConvolutionalState(tuple(window for _ in self.layers), time)

    def run(
        self, x: Tensor, state: ConvolutionalState, fixed: ConvolutionalFixed
    ) -> tuple[Tensor, Tensor | None, ConvolutionalState]:
        """x (N,T,E) -> features (N,T,E), weights (B,H,Q,S) or None, the state T steps later."""
        sentences, length = len(fixed.values), x.size(1)
        start = int(state.time[0])
        steps = torch.arange(start, start + length, device=x.device).repeat(len(x) // sentences)
        fed = self.position(x, start)
        if fixed.every is not None:
            fed = (fed.view(sentences, -1, fed.size(-1)) + fixed.every).view(x.shape)
        fed = self.dropout(fed)
        hidden, weights, windows = self.enter(fed), None, []
        for layer, window, keys in zip(self.decoder_layers(), state.windows, fixed.keys, strict=True):
            hidden, weights, window = layer(hidden, window, fed, steps, keys, fixed)
            windows.append(window)
        return self.dropout(self.leave(hidden)), weights, ConvolutionalState(tuple(windows), state.time + length)

    def step(
        self, x: Tensor, state: ConvolutionalState, fixed: ConvolutionalFixed
    ) -> tuple[Tensor, Tensor | None, ConvolutionalState]:
        features, weights, state = self.run(x[:, None], state, fixed)
        return features[:, 0], None if weights is None else weights.transpose(1, 2).flatten(0, 1), state

    def forward(self, x: Tensor, memory: Memory, want_weights: bool = True) -> tuple[Tensor, Tensor | None]:
        fixed, state = self.init(memory)
        features, weights, _ = self.run(x, state, fixed)
        return features, weights


def scale_gradient(memory: Tensor, factor: float) -> Tensor:
    """The same (B,S,M), whose gradient is multiplied by a factor: several attentions weigh as one (section 3.4).

    The paper excludes the source's embeddings from that; here it is all of what attention reads.
    """
    same = memory.view_as(memory)
    if same.requires_grad:
        same.register_hook(lambda gradient: gradient * factor)
    return same
