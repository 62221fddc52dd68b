"""Whether a model fits into the machine at all, asked before any of it is made."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import nn

from weft.errors import WeftError

TRAINED = 16  # bytes a parameter: itself, its gradient and two moments, in float32


def check_room(build: Callable[[], nn.Module]) -> None:
    """Refuse a network whose parameters alone, while they are trained, are more than the machine's memory."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build().parameters())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if TRAINED * count > memory:
        raise WeftError(
            f"the model has {count:,} parameters, which take {TRAINED * count / 1e9:,.0f} GB to train; this machine "
            f"has {memory / 1e9:,.0f} GB. Expected a smaller model.width, fewer layers or a smaller vocabulary"
        )
