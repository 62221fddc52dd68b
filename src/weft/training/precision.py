"""In which number format matrix products are taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from weft.recipe.training import Precision


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """float32; bf16_products: float32 whose matrix products may go through bf16 units; bf16: autocast."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if name == "float32" else "medium")
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bf16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def fastest(device: str) -> Precision:
    """The quickest that trains a Transformer as well as float32 (docs/speed.md): bf16, where it has units for it."""
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_units = device in ("auto", "cpu") and torch.cpu._is_amx_tile_supported()
    return "bf16" if has_units else "float32"


def bound_caches() -> None:
    """Keep oneDNN from holding on to a kernel for every shape of batch that was ever seen.

    It keeps 1,024 by default, which comes to gigabytes where lengths differ. Must be called before its first use.
    """
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, "64")
