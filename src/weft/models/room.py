"""Whether a model fits into the machine at all, asked before any of it is made."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import nn

from weft.errors import WeftError

HELD, TRAINED = 4, 8  # bytes a parameter: itself; with its gradient


def check_room(build: Callable[[], nn.Module], trained_here: bool) -> None:
    """Refuse a network that the machine's memory cannot hold, with its gradients where it is trained in it whole."""
    each = TRAINED if trained_here else HELD
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build().parameters())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if each * count > memory:
        gradients = " with their gradients" * trained_here
        raise WeftError(
            f"the model has {count:,} parameters, which take {each * count / 1e9:,.0f} GB{gradients}; this machine "
            f"has {memory / 1e9:,.0f} GB. Expected a smaller model.width, fewer layers or a smaller vocabulary"
        )
