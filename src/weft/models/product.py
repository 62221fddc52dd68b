"""A product with weights that stay as they are, laid out as is fastest for so many rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Weights = Literal["float32", "int8"]
HIGHEST = 127
# As measured, benchmarks/NOTES.md: from so many rows on oneDNN's layout is the faster one, ...
ROWS_OF_LARGE = 4  # of a matrix that the second cache does not hold
ROWS_OF_ANY = 16  # of any, where oneDNN knows of wider units than the default library does
LARGE = 1 << 20  # weights
# ... and a product of fewer multiplications takes less time than its rounding.
WORTH_ROUNDING = 150_000


class Product:
    """x -> W x + b, of one matrix or of several on top of each other."""

    def __init__(self, matrices: Sequence[tuple[Tensor, Tensor | None]], weights: Weights = "float32") -> None:
        """Each W (out,in) with its bias (out,), or None for a bias of zero."""
        weight = torch.cat([one.detach() for one, _ in matrices])
        self.bias = torch.cat([one.new_zeros(len(one)) if b is None else b.detach() for one, b in matrices])
        self.size = weight.numel()
        rounds_all = weights == "int8" and self.size >= WORTH_ROUNDING
        self.by_column = None if rounds_all else weight.t().contiguous()  # a few rows read it in order
        self.integers = packed_integers(weight, self.bias) if weights == "int8" else None
        self.packed: Tensor | None = None
        self.packed_from = ROWS_OF_LARGE if self.size >= LARGE else ROWS_OF_ANY
        if self.integers is None and worth_packing(self.size):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)

    def __call__(self, x: Tensor) -> Tensor:
        """(N,in) -> (N,out)."""
        count = len(x)
        if self.integers is not None and (self.by_column is None or count * self.size >= WORTH_ROUNDING):
            product: Tensor = torch.ops.quantized.linear_dynamic(x, self.integers, True)
            return product
        if self.packed is not None and count >= self.packed_from:
            product = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
            return product
        assert self.by_column is not None
        return torch.addmm(self.bias, x, self.by_column)


def product(*linears: nn.Linear, weights: Weights = "float32") -> Product:
    """Of layers over the same input."""
    return Product([(linear.weight, linear.bias) for linear in linears], weights)


def worth_packing(size: int) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    return size >= LARGE or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def packed_integers(weight: Tensor, bias: Tensor | None) -> object:
    """W (out,in) in integers, a scale for each row, as `torch.ops.quantized.linear_dynamic` takes it."""
    scales = weight.abs().amax(1).double().clamp_min(1e-12) / HIGHEST
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings(action="ignore"):  # PyTorch points to a package that has none of these kernels
        integers = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        found: object = torch.ops.quantized.linear_prepack(integers, bias)
    return found
