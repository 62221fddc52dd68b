"""s . W h"""

from __future__ import annotations

from torch import Tensor, nn

from weft.nn import attention
from weft.recipe import Attention


class Score(attention.Score):
    """score(s, h) = s . W h (Luong et al. 2015, section 3.1)."""

    def __init__(self, query_width: int, memory_width: int, settings: Attention) -> None:
        super().__init__(query_width, memory_width, settings)
        self.key = nn.Linear(memory_width, query_width, bias=False)

    def keys(self, compared: Tensor, values: Tensor | None = None) -> Tensor:
        keys: Tensor = self.key(compared)
        return keys

    def forward(self, query: Tensor, keys: Tensor, covered: Tensor | None = None) -> Tensor:
        return (query @ keys.transpose(1, 2))[:, None]
