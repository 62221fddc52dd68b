"""A product with weights that stay as they are, laid out as is fastest for so many rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Weights = Literal["float32", "int8"]
HIGHEST = 127
linear_dynamic = torch.ops.quantized.linear_dynamic.default  # the overload itself: looking for it takes 4 µs a call
# As measured, benchmarks/NOTES.md: from so many rows on oneDNN's layout is the faster one, ...
ROWS_OF_LARGE = 4  # of a matrix that the second cache does not hold
ROWS_OF_ANY = 16  # of any, where oneDNN knows of wider units than the default library does
LARGE = 1 << 20  # weights
# ... a product of fewer multiplications takes less time than its rounding ...
WORTH_ROUNDING = 150_000
# ... and from so many rows on oneDNN's integers are faster than FBGEMM's, which know of no tiles.
ROWS_OF_TILES_LARGE = 8
ROWS_OF_TILES = 64


class Product:
    """x -> W x + b, of one matrix or of several on top of each other."""

    def __init__(self, matrices: Sequence[tuple[Tensor, Tensor | None]], weights: Weights = "float32") -> None:
        """Each W (out,in) with its bias (out,), or None for a bias of zero."""
        weight = torch.cat([one.detach() for one, _ in matrices])
        self.bias = torch.cat([one.new_zeros(len(one)) if b is None else b.detach() for one, b in matrices])
        self.size = weight.numel()
        rounds_all = weights == "int8" and self.size >= WORTH_ROUNDING
        self.by_column = None if rounds_all else weight.t().contiguous()  # a few rows read it in order
        self.integers: Integers | None = None
        if weights == "int8":
            self.integers = Integers(weight, self.bias)
        self.packed: Tensor | None = None
        self.packed_from = ROWS_OF_LARGE if self.size >= LARGE else ROWS_OF_ANY
        if self.integers is None and worth_packing(self.size):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)

    def __call__(self, x: Tensor) -> Tensor:
        """(N,in) -> (N,out)."""
        count = x.size(0)
        if self.integers is not None and (self.by_column is None or count * self.size >= WORTH_ROUNDING):
            return self.integers(x)
        if self.packed is not None and count >= self.packed_from:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
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


class Integers:
    """x -> W x + b with W in integers, a scale for each row of W, and x rounded to integers as it comes.

    The scale of x is that of its largest value, over all rows: what stands beside a row in a batch moves its result
    within the rounding.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight (out,in), bias (out,)."""
        tiles = torch.cpu._is_amx_tile_supported() and "onednn" in torch.backends.quantized.supported_engines
        self.few_bits = not tiles  # 7 bits of x, so that no sum of two products overflows
        self.packed = packed_integers(weight, bias)
        self.in_tiles = packed_integers(weight, bias, "onednn") if tiles else None
        self.tiles_from = ROWS_OF_TILES_LARGE if weight.numel() >= LARGE else ROWS_OF_TILES

    def __call__(self, x: Tensor) -> Tensor:
        """(...,in) -> (...,out)."""
        many = self.in_tiles is not None and x.numel() // x.size(-1) >= self.tiles_from
        product: Tensor = linear_dynamic(x, self.in_tiles if many else self.packed, self.few_bits)
        return product

    def apart(self) -> tuple[Tensor, Tensor]:
        """W and b in float32."""
        weight, bias = torch.ops.quantized.linear_unpack(self.packed)
        return weight.dequantize(), bias


def packed_integers(weight: Tensor, bias: Tensor | None, engine: str = "") -> object:
    """W (out,in) in integers, a scale for each row, as `linear_dynamic` takes it; `onednn` uses a processor's tiles."""
    scales = weight.abs().amax(1).double().clamp_min(1e-12) / HIGHEST
    zeros = torch.zeros(len(weight), dtype=torch.long)
    engines = torch.backends.quantized
    usual = engines.engine
    engines.engine = engine or usual
    try:
        with warnings.catch_warnings(action="ignore"):  # PyTorch points to a package that has none of these kernels
            integers = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
            found: object = torch.ops.quantized.linear_prepack(integers, bias)
            return found
    finally:
        engines.engine = usual
