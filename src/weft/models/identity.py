"""No encoder: a decoder looks at what the input end gives."""

from __future__ import annotations

from weft.data.batch import Padded
from weft.models.base import Encoder, Memory, last_of
from weft.recipe import IdentityEncoder


class Identity(Encoder):
    """A memory of what comes in."""

    def __init__(self, width: int, settings: IdentityEncoder, position_scale: float = 1.0) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Padded) -> Memory:
        return Memory(x.data, x.mask(), last_of(x.data, x.lengths))
