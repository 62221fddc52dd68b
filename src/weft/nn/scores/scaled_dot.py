"""s . h / sqrt(D)"""

from __future__ import annotations

import math

from torch import Tensor

from weft.nn.scores import dot


class Score(dot.Score):
    """score(s, h) = s . h / sqrt(D) (Vaswani et al. 2017, equation 1)."""

    def forward(self, query: Tensor, keys: Tensor, covered: Tensor | None = None) -> Tensor:
        return super().forward(query / math.sqrt(query.size(-1)), keys)
