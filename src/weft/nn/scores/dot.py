"""s . h"""

from __future__ import annotations

from torch import Tensor

from weft.errors import WeftError
from weft.nn import attention
from weft.recipe import Attention


class Score(attention.Score):
    """score(s, h) = s . h (Luong et al. 2015, section 3.1); both must be as wide."""

    def __init__(self, query_width: int, memory_width: int, settings: Attention) -> None:
        super().__init__(query_width, memory_width, settings)
        if query_width != memory_width:
            raise WeftError(
                f"model.decoder.attention.kind is {settings.kind}, which multiplies states of equal width; the "
                f"decoder's are {query_width} wide, the encoder's {memory_width}; general has a matrix between them"
            )

    def forward(self, query: Tensor, keys: Tensor, covered: Tensor | None = None) -> Tensor:
        return (query @ keys.transpose(1, 2))[:, None]
