"""A network as it answers, apart from how it trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def answering(network: nn.Module) -> Iterator[None]:
    """Without dropout and what else is for training alone; afterwards as it was, however this ends."""
    if not network.training:
        yield
        return
    network.eval()
    try:
        yield
    finally:
        network.train()
