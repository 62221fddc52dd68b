"""q_i . k_i / sqrt(d) in each of H heads"""

from __future__ import annotations

from torch import Tensor

from weft.errors import WeftError
from weft.nn import attention
from weft.nn.multi_head import MultiHead
from weft.recipe import Attention


class Score(attention.Score):
    """Concat(head_1..head_H) W_O, head_i = softmax(q_i k_i^T / sqrt(d)) v_i (Vaswani et al. 2017, section 3.2.2)."""

    def __init__(self, query_width: int, memory_width: int, settings: Attention) -> None:
        super().__init__(query_width, memory_width, settings)
        width = settings.width or query_width
        if width % settings.heads:
            raise WeftError(
                f"model.decoder.attention.heads is {settings.heads}, "
                f"which does not divide the attention's width {width}"
            )
        self.heads = MultiHead(query_width, memory_width, settings.heads, width=width)
        self.width = query_width

    def keys(self, compared: Tensor, values: Tensor | None = None) -> Tensor:
        if values is None or values is compared:
            return self.heads.keys(compared)
        return self.heads.keys(values, compared)

    def forward(self, query: Tensor, keys: Tensor, covered: Tensor | None = None) -> Tensor:
        return self.heads.energy(query, keys)

    def read(self, weights: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self.heads.read(weights, keys)
