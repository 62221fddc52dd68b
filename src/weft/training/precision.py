"""In which number format matrix products are taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from weft.errors import WeftError


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """float32; bf16_products: float32 whose matrix products may go through bf16 units; bf16: autocast."""
    if name == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if name == "bf16_products" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def device(name: str) -> torch.device:
    """The device of that name, which must be there; `auto` is the first accelerator, or the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise WeftError(f"training.device is '{name}'; expected auto, cpu, cuda, cuda:1 or mps") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise WeftError(f"training.device is '{name}', but this machine has {torch.cuda.device_count()} CUDA devices")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise WeftError("training.device is 'mps', which this machine does not have")
    return chosen
