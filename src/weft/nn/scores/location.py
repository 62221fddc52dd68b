"""W s, a score for each position from the query alone"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from weft.nn import attention
from weft.recipe import Attention


class Score(attention.Score):
    """a = softmax(W s) (Luong et al. 2015, equation 8).

    W has a row for each of the first `positions` source positions; those after it are never looked at.
    """

    def __init__(self, query_width: int, memory_width: int, settings: Attention) -> None:
        super().__init__(query_width, memory_width, settings)
        self.place = nn.Linear(query_width, settings.positions, bias=False)

    def forward(self, query: Tensor, keys: Tensor, covered: Tensor | None = None) -> Tensor:
        energy: Tensor = self.place(query)  # (B,Q,positions)
        beyond = keys.size(1) - energy.size(-1)
        energy = F.pad(energy, (0, beyond), value=-1e4) if beyond > 0 else energy[..., : keys.size(1)]
        return energy[:, None]
