"""Matrices in 8-bit integers."""

from __future__ import annotations

import pytest
import torch
from families import COMBINATIONS, random_ids, small_model
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from weft.errors import WeftError
from weft.models import quantized
from weft.models.product import ROWS_OF_TILES, Integers
from weft.models.quantized import Int8Layer, Int8Linear, Int8Recurrent, quantize
from weft.models.rnn import Layer
from weft.nn.fused import Fused


def test_a_product_is_that_of_floats_within_the_rounding() -> None:
    linear, x = nn.Linear(64, 40), torch.randn(3, 5, 64)
    with torch.no_grad():
        linear.weight[7] *= 100  # a large row takes nothing from the others' precision
        exact, rounded = linear(x), Int8Linear(linear)(x)
    error = (rounded - exact).abs().amax((0, 1)) / exact.abs().amax((0, 1))
    assert rounded.shape == (3, 5, 40)
    assert 0 < error.max() < 0.05


@pytest.mark.parametrize("tiles", [True, False])
@pytest.mark.parametrize("rows", [1, ROWS_OF_TILES])
def test_products_of_few_and_many_rows_are_within_the_rounding(
    tiles: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tiles:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    torch.manual_seed(0)
    weight, bias, x = torch.randn(48, 32), torch.randn(48), torch.randn(rows, 32)
    bits = 8 if tiles and torch.cpu._is_amx_tile_supported() else 7
    step = (x.max() - x.min()) / (2**bits - 1)
    of_input = step / 2 * weight.abs().sum(1)
    of_weight = weight.abs().amax(1) / 127 / 2 * (x.abs() + step / 2).sum(1, keepdim=True)
    error = (Integers(weight, bias)(x) - (x @ weight.t() + bias)).abs()
    assert (error <= 1.01 * (of_input + of_weight)).all()
    assert error.max() > 0


def test_fused_matrices_come_apart() -> None:
    linear = Fused(6, 4, 2)
    for (weight, bias), (rounded, same) in zip(linear.apart(), Int8Linear(linear).apart(), strict=True):
        torch.testing.assert_close(rounded, weight, atol=float(weight.detach().abs().max()) / 127, rtol=0)
        assert torch.equal(same, bias)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_a_recurrent_layer_is_that_of_floats_within_the_rounding(cell: str) -> None:
    torch.manual_seed(0)
    layer = Layer(cell, 12, 20)
    x, state = torch.randn(4, 7, 12), (torch.randn(4, 20).tanh(),) * layer.parts
    with torch.inference_mode():
        exact, rounded = layer(x, state), Int8Layer(layer)(x, state)
        (first, *_), (exact_first, *_) = Int8Layer(layer).step(x[:, 0], state), layer.step(x[:, 0], state)
    assert torch.equal(first, rounded[:, 0])
    assert 0 < (first - exact_first).abs().max() < 0.03
    assert (rounded - exact).abs().max() < 0.05


@pytest.mark.parametrize("rnn", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_encoder_layer_is_that_of_floats_within_the_rounding(
    rnn: type[nn.GRU] | type[nn.LSTM], bidirectional: bool
) -> None:
    torch.manual_seed(0)
    layer = rnn(12, 20, batch_first=True, bidirectional=bidirectional)
    x = pack_padded_sequence(torch.randn(3, 6, 12), torch.tensor([2, 6, 4]), batch_first=True, enforce_sorted=False)
    with torch.inference_mode():
        exact, last = layer(x)
        rounded, rounded_last = Int8Recurrent(layer)(x)
    (states, lengths), (rounded_states, rounded_lengths) = pad_packed_sequence(exact), pad_packed_sequence(rounded)
    assert torch.equal(rounded_lengths, lengths)
    assert 0 < (rounded_states - states).abs().max() < 0.05
    assert (rounded_last - (last[0] if isinstance(last, tuple) else last)).abs().max() < 0.05


@pytest.mark.parametrize(("encoder", "decoder"), COMBINATIONS)
def test_every_model_says_nearly_the_same(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder, share="target").float()
    source, tokens = random_ids([5, 3], 11), torch.tensor([4, 6])
    with torch.inference_mode():
        (fixed, state) = model.start(source)
        exact, _, _ = model.step(tokens, state, fixed)
        quantize(model)
        (fixed, state) = model.start(source)
        rounded, _, _ = model.step(tokens, state, fixed)
    assert not any(isinstance(part, nn.Linear | nn.GRU | nn.LSTM | Layer) for part in model.modules())
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded.exp(), exact.exp(), atol=0.03, rtol=0)


def test_a_shared_matrix_stays_an_embedding() -> None:
    model = small_model("pre", "pre", source=9, share="all").float()
    before = model.target_input(torch.arange(9))
    quantize(model)
    assert torch.equal(model.target_input(torch.arange(9)), before)


def test_where_int8_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeftError, match="weights is 'int8', which runs on a CPU only; device is 'cuda:1'"):
        quantized.checked("int8", torch.device("cuda:1"))
    quantized.checked("float32", torch.device("cuda:1"))

    class Nothing:
        engine = "none"

    monkeypatch.setattr(torch.backends, "quantized", Nothing)
    with pytest.raises(WeftError, match="for which this PyTorch has no kernels"):
        quantized.checked("int8", torch.device("cpu"))
