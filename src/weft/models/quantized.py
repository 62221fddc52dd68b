"""Matrices in 8-bit integers, for predictions on CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from weft.errors import WeftError
from weft.models.pretrained import Pretrained
from weft.models.product import Integers, Weights, packed_integers
from weft.models.rnn import CellState, Layer
from weft.nn.fused import Fused

CELLS = {
    nn.RNN: torch.ops.quantized.quantized_rnn_tanh_cell_dynamic,
    nn.GRU: torch.ops.quantized.quantized_gru_cell_dynamic,
    nn.LSTM: torch.ops.quantized.quantized_lstm_cell_dynamic,
}


class Int8Linear(nn.Module):
    """An nn.Linear in integers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.out_features = linear.out_features
        self.count = linear.count if isinstance(linear, Fused) else 1
        self.integers = Integers(linear.weight.detach(), linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(...,D) -> (...,out_features)."""
        return self.integers(x)

    def apart(self) -> list[tuple[Tensor, Tensor]]:
        """Each of the fused matrices with its bias, in float32."""
        weight, bias = self.integers.apart()
        return list(zip(weight.chunk(self.count), bias.chunk(self.count), strict=True))


class Int8Layer(nn.Module):
    """A recurrent layer of a decoder with both matrices in integers, and 7 bits of what comes in."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.width, self.parts = layer.width, layer.parts
        self.cell = CELLS[type(layer.rnn)]
        self.packed = packed_cell(layer.rnn.all_weights[0])

    def step(self, x: Tensor, state: CellState) -> CellState:
        """x (N,E) -> the next state."""
        if self.parts == 2:
            return cast(CellState, self.cell(x, state, *self.packed))
        return (cast(Tensor, self.cell(x, state[0], *self.packed)),)

    def forward(self, x: Tensor, state: CellState) -> Tensor:
        """x (B,T,E) -> every hidden state, (B,T,D)."""
        states = []
        for now in x.unbind(1):
            state = self.step(now, state)
            states.append(state[0])
        return torch.stack(states, 1)


class Int8Recurrent(nn.Module):
    """A GRU or LSTM layer of an encoder, in one or both directions, with its matrices in integers."""

    def __init__(self, rnn: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        self.sides, self.width = 2 if rnn.bidirectional else 1, rnn.hidden_size
        self.is_lstm = isinstance(rnn, nn.LSTM)
        packed = torch.ops.quantized.make_quantized_cell_params_dynamic
        self.packed = [packed(*packed_cell(weights), True) for weights in rnn.all_weights]

    def forward(self, x: PackedSequence) -> tuple[PackedSequence, Tensor]:
        """Every state, and the last one of each direction, (sides,B,D)."""
        first = x.data.new_zeros(self.sides, int(x.batch_sizes[0]), self.width)
        layout = (self.packed, True, 1, 0.0, False, self.sides == 2)
        if self.is_lstm:
            states, last, _ = torch.ops.aten.quantized_lstm.data(
                x.data, x.batch_sizes, [first, first], *layout, dtype=torch.qint8, use_dynamic=True
            )
        else:
            states, last = torch.ops.aten.quantized_gru.data(x.data, x.batch_sizes, first, *layout)
        if x.unsorted_indices is not None:
            last = last.index_select(1, x.unsorted_indices)
        return x._replace(data=states), last


def packed_cell(weights: Sequence[Tensor]) -> tuple[object, ...]:
    """The matrices of the input and of the state in integers, then the biases: what PyTorch's integer cells take."""
    of_input, of_state, input_bias, state_bias = (weight.detach() for weight in weights)
    return packed_integers(of_input, input_bias), packed_integers(of_state, state_bias), input_bias, state_bias


def checked(weights: str, device: torch.device) -> None:
    """WeftError for what weights cannot be, and for int8 where no kernels are for it."""
    if weights not in get_args(Weights):
        raise WeftError(f"weights is '{weights}'; expected {' or '.join(get_args(Weights))}")
    if weights == "float32":
        return
    if device.type != "cpu":
        raise WeftError(f"weights is 'int8', which runs on a CPU only; device is '{device}'")
    if torch.backends.quantized.engine == "none":
        raise WeftError("weights is 'int8', for which this PyTorch has no kernels; expected float32")


def quantize(network: nn.Module, keep_output: bool = False) -> None:
    """Every nn.Linear becomes an Int8Linear in its place, and the recurrent layers those of integers.

    Those of a pretrained encoder stay as they are, and the output if kept; so do embeddings, norms, convolutions,
    Elman's encoder, and the input's side of a matrix that input and output share.
    """
    for name, part in network.named_children():
        if isinstance(part, nn.Linear):
            setattr(network, name, Int8Linear(part))
        elif isinstance(part, Layer):
            setattr(network, name, Int8Layer(part))
        elif isinstance(part, nn.GRU | nn.LSTM):
            setattr(network, name, Int8Recurrent(part))
        elif not isinstance(part, Pretrained) and not (keep_output and name == "output"):
            quantize(part)
