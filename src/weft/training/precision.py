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
    """The quickest that is known to train a Transformer as well as float32 on this device (docs/speed.md)."""
    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    return "bf16" if on_cpu and torch.cpu._is_amx_tile_supported() else "float32"


def bound_caches() -> None:
    """Keep oneDNN from holding on to a kernel for every shape of batch that was ever seen.

    It keeps 1,024 by default, which comes to gigabytes where lengths differ. Must be called before its first use.
    """
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, "64")
