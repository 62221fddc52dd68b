"""Whether a model fits into the machine at all, asked before any of it is made."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from weft.errors import WeftError
from weft.recipe import Model

HELD, TRAINED = 4, 8  # bytes a parameter: itself; with its gradient
MATRICES = 64  # as wide and as high as the largest number of the settings: more than a layer has


def check_room(settings: Model, pieces: int, build: Callable[[], nn.Module], trained_here: bool) -> None:
    """Refuse a network that the machine's memory cannot hold, with its gradients where it is trained in it whole.

    Counting what a network would have takes PyTorch a second to begin with, so that is left for those which, by their
    largest number and for vocabularies of so many `pieces`, might be too large.
    """
    each = TRAINED if trained_here else HELD
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    widest = largest(settings.model_dump())
    layers = sum(getattr(end, "layers", 1) for end in (settings.encoder, settings.decoder))
    if each * widest * (pieces + MATRICES * widest * layers) <= memory:
        return
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build().parameters())
    if each * count > memory:
        gradients = " with their gradients" * trained_here
        raise WeftError(
            f"the model has {count:,} parameters, which take {each * count / 1e9:,.0f} GB{gradients}; this machine "
            f"has {memory / 1e9:,.0f} GB. Expected a smaller model.width, fewer layers or a smaller vocabulary"
        )


def largest(settings: Any) -> int:
    """Of all whole numbers that stand in them."""
    if isinstance(settings, dict | list | tuple):
        inside = settings.values() if isinstance(settings, dict) else settings
        return max(map(largest, inside), default=0)
    return settings if isinstance(settings, int) else 0
