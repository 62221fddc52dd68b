"""No source: what is left of an encoder-decoder is a language model of the targets."""

from __future__ import annotations

import torch

from weft.data.batch import Padded
from weft.models.base import Encoder, Memory


class Nothing(Encoder):
    """A memory of one state that is zero, for decoders that look at none."""

    width = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(1), persistent=False)
        self.zero: torch.Tensor

    def forward(self, x: Padded) -> Memory:
        zero = self.zero.expand(len(x), 1, 1)
        return Memory(zero, x.lengths[:, None] > 0, zero[:, 0])
