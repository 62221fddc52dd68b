"""Matrices in 8-bit integers, for predictions on CPU."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from weft.errors import WeftError
from weft.models.pretrained import Pretrained
from weft.models.product import Integers, Weights
from weft.nn.fused import Fused


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
    """Every nn.Linear becomes an Int8Linear in its place, but those of a pretrained encoder, and of the output if kept.

    Embeddings, norms, convolutions and recurrent cells stay as they are; so does the input's side of a matrix that
    input and output share.
    """
    for name, part in network.named_children():
        if isinstance(part, nn.Linear):
            setattr(network, name, Int8Linear(part))
        elif not isinstance(part, Pretrained) and not (keep_output and name == "output"):
            quantize(part)
