"""Matrices in 8-bit integers."""

from __future__ import annotations

import pytest
import torch
from families import COMBINATIONS, random_ids, small_model
from torch import nn

from weft.errors import WeftError
from weft.models import quantized
from weft.models.quantized import Int8Linear, quantize
from weft.nn.fused import Fused


def test_a_product_is_that_of_floats_within_the_rounding() -> None:
    linear, x = nn.Linear(64, 40), torch.randn(3, 5, 64)
    with torch.no_grad():
        linear.weight[7] *= 100  # a large row takes nothing from the others' precision
        exact, rounded = linear(x), Int8Linear(linear)(x)
    error = (rounded - exact).abs().amax((0, 1)) / exact.abs().amax((0, 1))
    assert rounded.shape == (3, 5, 40)
    assert 0 < error.max() < 0.05


def test_fused_matrices_come_apart() -> None:
    linear = Fused(6, 4, 2)
    for (weight, bias), (rounded, same) in zip(linear.apart(), Int8Linear(linear).apart(), strict=True):
        torch.testing.assert_close(rounded, weight, atol=float(weight.detach().abs().max()) / 127, rtol=0)
        assert torch.equal(same, bias)


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
    assert not any(isinstance(part, nn.Linear) for part in model.modules())
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
