"""The recurrent encoder-decoder with attention (Bahdanau, Cho, Bengio 2015; numbers of equations are theirs).

B sentences, K hypotheses, N = B*K, S source length, T target length, E width of what comes in, D width of a state.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from weft.data.batch import Padded
from weft.models.base import Decoder, Encoder, Memory, per_sentence
from weft.nn.attention import Additive
from weft.nn.dropout import Dropout
from weft.recipe import RecurrentDecoder as DecoderSettings
from weft.recipe import RecurrentEncoder as EncoderSettings


class RecurrentEncoder(Encoder):
    """h_j = [forward h_j; backward h_j] (section 3.2); the context is the last state of each direction."""

    def __init__(self, input_width: int, settings: EncoderSettings) -> None:
        super().__init__()
        cell = nn.GRU if settings.cell == "gru" else nn.LSTM
        self.rnn = cell(
            input_width,
            settings.width,
            settings.layers,
            batch_first=True,
            bidirectional=True,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
        )
        self.dropout = Dropout(settings.dropout)
        self.width = 2 * settings.width
        reset_recurrent(self.rnn)

    def forward(self, x: Padded) -> Memory:
        packed = pack_padded_sequence(x.data, x.lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, last = self.rnn(packed)
        values, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.data.size(1))
        hidden = last[0] if isinstance(last, tuple) else last  # (layers*2,B,D)
        context = torch.cat([hidden[-2], hidden[-1]], -1)
        return Memory(self.dropout(values), x.mask(), self.dropout(context))


class RecurrentFixed(NamedTuple):
    values: Tensor  # (B,S,M)
    keys: Tensor  # (B,S,A)
    mask: Tensor  # (B,1,S)


Layer = tuple[Tensor, ...]  # hidden (N,D), and for the LSTM its cell (N,D)


class RecurrentDecoder(Decoder[RecurrentFixed, tuple[Layer, ...]]):
    """s_i = f(s_{i-1}, [y_{i-1}; c_i]), c_i = attention(s_{i-1}, h) (equations 4 and 5), deep output over s_i, y, c.

    The attention is asked with the top layer's previous state. Deep output is the maxout layer of appendix A.2.2,
    over the current state, as the paper's own code has it, where its text names the previous one.
    """

    def __init__(self, input_width: int, memory_width: int, settings: DecoderSettings) -> None:
        super().__init__()
        width = settings.width
        self.attention = Additive(width, memory_width, settings.attention_width)
        cell = nn.GRUCell if settings.cell == "gru" else nn.LSTMCell
        widths = [input_width + memory_width] + [width] * (settings.layers - 1)
        self.cells = nn.ModuleList(cell(below, width) for below in widths)
        self.parts = 1 if settings.cell == "gru" else 2
        self.first = nn.Linear(memory_width, settings.layers * self.parts * width)
        self.readout = nn.Linear(width + memory_width + input_width, 2 * input_width)
        self.dropout = Dropout(settings.dropout)
        for module in self.cells:
            reset_recurrent(module)

    def init(self, memory: Memory) -> tuple[RecurrentFixed, tuple[Layer, ...]]:
        """s_0 = tanh(W c)."""
        fixed = RecurrentFixed(memory.values, self.attention.keys(memory.values), memory.mask[:, None])
        states = torch.tanh(self.first(memory.context)).chunk(len(self.cells) * self.parts, -1)
        layers = [states[i : i + self.parts] for i in range(0, len(states), self.parts)]
        return fixed, tuple(layers)

    def advance(
        self, x: Tensor, state: tuple[Layer, ...], fixed: RecurrentFixed
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Layer, ...]]:
        """x (N,E) -> top state (N,D), context (N,M), weights (N,1,S), next state."""
        query = per_sentence(state[-1][0], len(fixed.values))
        context, weights = self.attention(query, fixed.keys, fixed.values, fixed.mask)
        context = context.flatten(0, 1)
        below = torch.cat([x, context], -1)
        layers = []
        for number, (cell, layer) in enumerate(zip(self.cells, state, strict=True)):
            after = cell(below if number == 0 else self.dropout(below), layer[0] if self.parts == 1 else layer)
            layers.append((after,) if self.parts == 1 else after)
            below = layers[-1][0]
        return below, context, weights.transpose(1, 2).flatten(0, 1), tuple(layers)

    def deep_output(self, state: Tensor, context: Tensor, x: Tensor) -> Tensor:
        """Maxout over pairs, (...,E)."""
        pairs = self.readout(self.dropout(torch.cat([state, context, x], -1))).unflatten(-1, (-1, 2))
        features: Tensor = self.dropout(pairs.amax(-1))
        return features

    def step(
        self, x: Tensor, state: tuple[Layer, ...], fixed: RecurrentFixed
    ) -> tuple[Tensor, Tensor, tuple[Layer, ...]]:
        top, context, weights, state = self.advance(x, state, fixed)
        return self.deep_output(top, context, x), weights, state

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        fixed, state = self.init(memory)
        steps = []
        for now in x.unbind(1):
            *seen, state = self.advance(now, state, fixed)
            steps.append(seen)
        top, context, weights = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
        return self.deep_output(top, context, x), weights.transpose(1, 2)


def reset_recurrent(module: nn.Module) -> None:
    """Orthogonal recurrent and Glorot-uniform input matrices, gate by gate; biases zero."""
    for name, parameter in module.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
            continue
        gates = 3 if isinstance(module, nn.GRU | nn.GRUCell) else 4
        for gate in parameter.data.chunk(gates):
            if "weight_hh" in name:
                nn.init.orthogonal_(gate)
            else:
                nn.init.xavier_uniform_(gate)
