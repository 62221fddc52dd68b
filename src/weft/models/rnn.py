"""The recurrent encoder-decoder (Sutskever et al. 2014, Cho et al. 2014, Bahdanau et al. 2015, Luong et al. 2015).

B sentences, K hypotheses, N = B*K, S source length, T target length, E width of what comes in, D width of a state,
M width of the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from weft.data.batch import Padded
from weft.models.base import Decoder, Encoder, Memory, per_sentence
from weft.nn.attention import Attention
from weft.nn.context import Transform
from weft.nn.dropout import Dropout, SameDropout, same_masks
from weft.recipe import Context
from weft.recipe import RecurrentDecoder as DecoderSettings
from weft.recipe import RecurrentEncoder as EncoderSettings

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CellState = tuple[Tensor, ...]  # hidden (N,D), and for the LSTM its cell (N,D)


class RecurrentEncoder(Encoder):
    """h_j = [forward h_j; backward h_j] (Bahdanau, section 3.2), or one of them; the context is the last state of each.

    Read from its end, a source still has its states in the order of its words (Sutskever, section 3.3).
    """

    def __init__(self, input_width: int, settings: EncoderSettings) -> None:
        super().__init__()
        sides = 2 if settings.bidirectional else 1
        widths = each_layer(settings.width, settings.layers)
        below = [input_width, *(sides * width for width in widths)]
        self.layers = nn.ModuleList(
            CELLS[settings.cell](under, width, batch_first=True, bidirectional=settings.bidirectional)
            for under, width in zip(below, widths, strict=False)
        )
        self.reversed = settings.reversed
        self.residual = settings.residual
        self.dropout = SameDropout(settings.dropout) if settings.variational else Dropout(settings.dropout)
        self.width = below[-1]
        reset_recurrent(self)

    def forward(self, x: Padded) -> Memory:
        values = backwards(x.data, x.lengths) if self.reversed else x.data
        lengths = x.lengths.cpu()
        for number, layer in enumerate(self.layers):
            below = values
            inputs = below if number == 0 else self.dropout(below)
            packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            outputs, last = layer(packed)
            values, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.data.size(1))
            if self.residual and values.shape == below.shape:
                values = values + below
        if self.reversed:
            values = backwards(values, x.lengths)
        hidden = last[0] if isinstance(last, tuple) else last  # (sides,B,D)
        return Memory(self.dropout(values), x.mask(), self.dropout(torch.cat(list(hidden), -1)[:, None]).squeeze(1))


class Layer(nn.Module):
    """A recurrent layer: a step of it, or all steps at once in PyTorch's fused kernel."""

    def __init__(self, cell: str, input_width: int, width: int) -> None:
        super().__init__()
        self.rnn = CELLS[cell](input_width, width, batch_first=True)
        self.width = width
        self.parts = 2 if cell == "lstm" else 1

    def step(self, x: Tensor, state: CellState) -> CellState:
        """x (N,E) -> the next state."""
        weights = tuple(self.rnn.parameters())
        if self.parts == 2:
            return torch.lstm_cell(x, state, *weights)
        cell = torch.gru_cell if isinstance(self.rnn, nn.GRU) else torch.rnn_tanh_cell
        return (cell(x, state[0], *weights),)

    def forward(self, x: Tensor, state: CellState) -> Tensor:
        """x (B,T,E) -> every hidden state, (B,T,D)."""
        first = tuple(part[None].contiguous() for part in state)
        states: Tensor = self.rnn(x, first if self.parts == 2 else first[0])[0]
        return states


class RecurrentFixed(NamedTuple):
    values: Tensor  # (B,S,M)
    keys: Tensor  # (B,S,A)
    mask: Tensor  # (B,1,S)
    context: Tensor  # (B,M), the fixed vector at every step; (B,0) where it is not given
    masks: tuple[Tensor, ...]  # variational dropout of one sentence, (B,.) between layers, before and after the readout


class RecurrentState(NamedTuple):
    layers: tuple[CellState, ...]
    fed: Tensor  # (N,E) the last attentional vector; (N,0) without input feeding
    covered: Tensor  # (N,S) the sum of earlier weights; (N,0) without coverage
    time: Tensor  # (N,) steps so far


class RecurrentDecoder(Decoder[RecurrentFixed, RecurrentState]):
    """s_t = f(s_{t-1}, input), and features from s_t and what the attention read.

    Queried by the previous state (Bahdanau, equations 4-6), the attention is read before the step and is part of its
    input; queried by the current one (Luong, section 3.1) it is read after it. The features are Bahdanau's deep
    output (appendix A.2.2, over the current state, as the paper's own code has it, where its text names the previous
    one), or Luong's attentional vector tanh(W [c; s]) (equation 5), which input feeding gives to the next step.
    """

    def __init__(self, input_width: int, memory_width: int, settings: DecoderSettings, context: Context) -> None:
        super().__init__()
        widths = each_layer(settings.width, settings.layers)
        self.attention = None if settings.attention is None else Attention(widths[-1], memory_width, settings.attention)
        read = self.attention.width if self.attention else 0
        self.asks_first = settings.query == "previous" and self.attention is not None
        self.feeds = settings.input_feeding
        self.every = context.at_every_step
        always = memory_width if self.every else 0
        bottom = input_width + always + (read if self.asks_first else 0) + (input_width if self.feeds else 0)
        self.layers = nn.ModuleList(
            Layer(settings.cell, below, width) for below, width in zip([bottom, *widths], widths, strict=False)
        )
        self.first = FirstState(context, memory_width, self.recurrent()) if context.given in ("first", "both") else None
        self.again = Transform(context.transform, memory_width, memory_width) if self.every else None
        seen = widths[-1] + read + always
        self.maxout = settings.readout == "maxout"
        self.readout = (
            nn.Linear(seen + input_width, 2 * input_width) if self.maxout else nn.Linear(seen, input_width, bias=False)
        )
        self.residual = settings.residual
        self.dropout = Dropout(0.0 if settings.variational else settings.dropout)
        self.same = settings.dropout if settings.variational else 0.0
        self.masked = [*widths[:-1], self.readout.in_features, input_width]
        self.covers = settings.attention is not None and settings.attention.coverage
        self.fused = not (self.asks_first or self.feeds or self.covers)
        reset_recurrent(self)

    def recurrent(self) -> Iterator[Layer]:
        return cast(Iterator[Layer], iter(self.layers))

    def init(self, memory: Memory) -> tuple[RecurrentFixed, RecurrentState]:
        values, context = memory.values, memory.context
        keys = self.attention.keys(memory.keys, memory.values) if self.attention else values
        always = self.again(context) if self.again else context[:, :0]
        if self.first:
            layers = self.first(context)
        else:
            layers = tuple(
                tuple(context.new_zeros(len(context), layer.width) for _ in range(layer.parts))
                for layer in self.recurrent()
            )
        fed = context.new_zeros(len(context), self.readout.out_features if self.feeds else 0)
        covered = context.new_zeros(len(values), values.size(1) if self.covers else 0)
        time = torch.zeros(len(values), dtype=torch.long, device=values.device)
        masks = same_masks(self.same, len(values), self.masked, values) if self.same and self.training else ()
        fixed = RecurrentFixed(values, keys, memory.mask[:, None], always, masks)
        return fixed, RecurrentState(layers, fed, covered, time)

    def advance(
        self, x: Tensor, state: RecurrentState, fixed: RecurrentFixed
    ) -> tuple[Tensor, Tensor | None, RecurrentState]:
        """x (N,E) -> what the readout sees (N,.), weights (N,H,S) or None, the next state but for `fed`."""
        always = fixed.context
        if len(always) != len(x):
            always = always.repeat_interleave(len(x) // len(always), 0)
        read, weights, inputs = x[:, :0], None, [x, always, state.fed]
        if self.asks_first:
            read, weights = self.ask(state.layers[-1][0], state, fixed)
            inputs.append(read)
        below, layers = torch.cat(inputs, -1), []
        for number, (layer, before) in enumerate(zip(self.recurrent(), state.layers, strict=True)):
            layers.append(layer.step(self.drop(below, fixed, number - 1) if number else below, before))
            below = self.joined(layers[-1][0], below)
        if self.attention and not self.asks_first:
            read, weights = self.ask(below, state, fixed)
        covered = state.covered
        if self.covers and weights is not None:
            covered = covered + weights.mean(1)
        return (
            torch.cat([below, read, always], -1),
            weights,
            RecurrentState(tuple(layers), state.fed, covered, state.time + 1),
        )

    def ask(self, query: Tensor, state: RecurrentState, fixed: RecurrentFixed) -> tuple[Tensor, Tensor]:
        """query (N,D) -> what was read (N,M), weights (N,H,S)."""
        assert self.attention is not None
        sentences = len(fixed.values)
        read, weights = self.attention(
            per_sentence(query, sentences),
            fixed.keys,
            fixed.values,
            fixed.mask,
            state.time.view(sentences, -1),
            per_sentence(state.covered, sentences) if self.covers else None,
        )
        return read.flatten(0, 1), weights.transpose(1, 2).flatten(0, 1)

    def drop(self, x: Tensor, fixed: RecurrentFixed, place: int) -> Tensor:
        """(N,.) or (B,T,.)"""
        if not fixed.masks:
            return cast(Tensor, self.dropout(x))
        mask = fixed.masks[place]
        return x * (mask if x.dim() == mask.dim() else mask[:, None])

    def joined(self, states: Tensor, below: Tensor) -> Tensor:
        return states + below if self.residual and states.shape == below.shape else states

    def features(self, seen: Tensor, x: Tensor, fixed: RecurrentFixed) -> Tensor:
        """(...,E): the maxout of pairs over [s; c; y], or tanh(W [s; c])."""
        if not self.maxout:
            return self.drop(torch.tanh(self.readout(seen)), fixed, -1)
        pairs = self.readout(self.drop(torch.cat([seen, x], -1), fixed, -2)).unflatten(-1, (-1, 2))
        return self.drop(pairs.amax(-1), fixed, -1)

    def step(
        self, x: Tensor, state: RecurrentState, fixed: RecurrentFixed
    ) -> tuple[Tensor, Tensor | None, RecurrentState]:
        seen, weights, state = self.advance(x, state, fixed)
        features = self.features(seen, x, fixed)
        return features, weights, state._replace(fed=features) if self.feeds else state

    def forward(self, x: Tensor, memory: Memory, want_weights: bool = True) -> tuple[Tensor, Tensor | None]:
        fixed, state = self.init(memory)
        if self.fused:
            return self.at_once(x, state, fixed)
        all_seen, all_weights = [], []
        for now in x.unbind(1):
            seen, weights, state = self.advance(now, state, fixed)
            if self.feeds:
                seen = self.features(seen, now, fixed)
                state = state._replace(fed=seen)
            all_seen.append(seen)
            if weights is not None:
                all_weights.append(weights)
        seen = torch.stack(all_seen, 1)
        features = seen if self.feeds else self.features(seen, x, fixed)
        return features, torch.stack(all_weights, 2) if all_weights else None

    def at_once(self, x: Tensor, state: RecurrentState, fixed: RecurrentFixed) -> tuple[Tensor, Tensor | None]:
        """All steps of each layer, then all of the attention: nothing that it gives goes back into the layers."""
        always = fixed.context[:, None].expand(-1, x.size(1), -1)
        below = torch.cat([x, always], -1)
        for number, (layer, before) in enumerate(zip(self.recurrent(), state.layers, strict=True)):
            inputs = self.drop(below, fixed, number - 1) if number else below
            below = self.joined(layer(inputs, before), below)
        seen, weights = [below], None
        if self.attention:
            times = torch.arange(x.size(1), device=x.device)
            read, weights = self.attention(below, fixed.keys, fixed.values, fixed.mask, times)
            seen.append(read)
        return self.features(torch.cat([*seen, always], -1), x, fixed), weights


class FirstState(nn.Module):
    """s_0 of every layer = tanh(W c), or as the context's transform says; c itself is hidden state only."""

    def __init__(self, context: Context, memory_width: int, layers: Iterator[Layer]) -> None:
        super().__init__()
        self.shape = [(layer.width, layer.parts) for layer in layers]
        self.as_it_is = context.transform == "none"
        out = sum(width * parts for width, parts in self.shape)
        self.transforms = nn.ModuleList(
            [Transform("none", memory_width, width) for width, _ in self.shape]
            if self.as_it_is
            else [Transform(context.transform, memory_width, out)]
        )

    def forward(self, context: Tensor) -> tuple[CellState, ...]:
        """(B,M) -> the state of each layer."""
        if self.as_it_is:
            return tuple((context, *[torch.zeros_like(context)] * (parts - 1)) for _, parts in self.shape)
        parts = iter(
            self.transforms[0](context).split([width for width, count in self.shape for _ in range(count)], -1)
        )
        return tuple(tuple(next(parts) for _ in range(count)) for _, count in self.shape)


def each_layer(width: int | list[int], layers: int) -> list[int]:
    return [width] * layers if isinstance(width, int) else width


def backwards(x: Tensor, lengths: Tensor) -> Tensor:
    """(B,S,E) with the real positions of each sentence in the opposite order, its padding where it was."""
    places = torch.arange(x.size(1), device=x.device)
    turned = lengths[:, None] - 1 - places
    return x.gather(1, torch.where(turned < 0, places, turned)[..., None].expand_as(x))


def reset_recurrent(module: nn.Module) -> None:
    """Orthogonal recurrent and Glorot-uniform input matrices, gate by gate; biases zero."""
    for layer in module.modules():
        if not isinstance(layer, nn.RNNBase):
            continue
        gates = {"RNN_TANH": 1, "GRU": 3, "LSTM": 4}[layer.mode]
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
                continue
            for gate in parameter.data.chunk(gates):
                if "weight_hh" in name:
                    nn.init.orthogonal_(gate)
                else:
                    nn.init.xavier_uniform_(gate)
