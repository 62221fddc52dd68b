"""Where a model runs."""

from __future__ import annotations

import re

import torch

from weft.errors import WeftError, counted


def device(name: str) -> torch.device:
    """The device of that name, which must be there; `auto` is the first accelerator, or the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,2})?", name):
        raise WeftError(f"device is '{name}'; expected auto, cpu, cuda, cuda:1 or mps")
    chosen = torch.device(name)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise WeftError(f"device is '{name}', but this machine has {counted(torch.cuda.device_count(), 'CUDA device')}")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise WeftError("device is 'mps', which this machine does not have")
    return chosen
