"""What a decoder looks at: the softmax of a score over the source, or over a window of it.

B sentences, Q queries, S source positions, D width, M width of the memory, A width of the keys, H heads. Masks are
boolean, broadcast to (B,Q,S), and True means a real position. The scores are the files of nn/scores, one each.
"""

from __future__ import annotations

import importlib
from typing import cast

import torch
from torch import Tensor, nn

from weft.recipe import Attention as Settings


class Score(nn.Module):
    """score(s, h) of a query s and a state h of the encoder, for each of H heads; energy before the softmax."""

    width: int  # of what is read, M where the states themselves are

    def __init__(self, query_width: int, memory_width: int, settings: Settings) -> None:
        super().__init__()
        self.width = memory_width

    def keys(self, compared: Tensor, values: Tensor | None = None) -> Tensor:
        """(B,S,M) -> (B,S,A), what of the score can be computed once for a sentence; `values` where others are read."""
        return compared

    def forward(self, query: Tensor, keys: Tensor, covered: Tensor | None = None) -> Tensor:
        """query (B,Q,D), keys (B,S,A), covered (B,Q,S): attention so far -> energies (B,H,Q,S)."""
        raise NotImplementedError

    def read(self, weights: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """weights (B,H,Q,S), values (B,S,M) -> the weighted sum, (B,Q,width)."""
        return weights.squeeze(1) @ values


class Attention(nn.Module):
    """c = sum_s a_s h_s, a = softmax(score(s, h)) over all positions, or over a window around one of them."""

    def __init__(self, query_width: int, memory_width: int, settings: Settings) -> None:
        super().__init__()
        score = importlib.import_module(f"weft.nn.scores.{settings.kind}").Score
        self.score = cast(Score, score(query_width, memory_width, settings))
        self.width = self.score.width
        self.window = {"global": Everywhere, "local_m": Monotonic, "local_p": Predicted}[settings.window](
            query_width, settings.reach
        )

    def keys(self, compared: Tensor, values: Tensor | None = None) -> Tensor:
        """(B,S,M) -> (B,S,A), once for a sentence; `values` where they are not what is compared."""
        return self.score.keys(compared, values)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
        position: Tensor | None = None,
        covered: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """query (B,Q,D), keys (B,S,A), values (B,S,M), mask (B,1,S) -> (B,Q,width), weights (B,H,Q,S).

        `position` (Q,) or (B,Q) is the number of each query's step from 0, for local_m; `covered` (B,Q,S) is the sum
        of earlier weights, for coverage.
        """
        energy = self.score(query, keys, covered)
        allowed, factor = self.window(query, mask, position)
        weights = torch.softmax(energy.masked_fill(~allowed[:, None], -torch.inf), -1)
        if factor is not None:
            weights = weights * factor[:, None]
        return self.score.read(weights, keys, values), weights


class Everywhere(nn.Module):
    """Global attention: every real position."""

    def __init__(self, query_width: int, reach: int) -> None:
        super().__init__()

    def forward(self, query: Tensor, mask: Tensor, position: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """mask (B,1,S) -> positions that take part, broadcast to (B,Q,S), and what their weights are multiplied by."""
        return mask, None


class Monotonic(nn.Module):
    """local-m: the positions within reach of p_t = t (Luong et al. 2015, section 3.2), or of the last one after it."""

    def __init__(self, query_width: int, reach: int) -> None:
        super().__init__()
        self.reach = reach

    def forward(self, query: Tensor, mask: Tensor, position: Tensor | None) -> tuple[Tensor, Tensor | None]:
        assert position is not None
        last = mask.sum(-1) - 1  # (B,1)
        center = torch.minimum(position.view(-1, query.size(1)), last)  # (B,Q)
        places = torch.arange(mask.size(-1), device=mask.device)
        return mask & ((places - center[..., None]).abs() <= self.reach), None


class Predicted(nn.Module):
    """local-p: p_t = S sigmoid(v . tanh(W s_t)), its window, and a Gaussian around it (equations 9 and 10)."""

    def __init__(self, query_width: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.inner = nn.Linear(query_width, query_width, bias=False)
        self.outer = nn.Linear(query_width, 1, bias=False)

    def forward(self, query: Tensor, mask: Tensor, position: Tensor | None) -> tuple[Tensor, Tensor | None]:
        length = mask.sum(-1, keepdim=True)  # (B,1,1)
        center = length * torch.sigmoid(self.outer(torch.tanh(self.inner(query))))  # (B,Q,1)
        distance = torch.arange(1, mask.size(-1) + 1, device=mask.device) - center
        gaussian = torch.exp(-2 * (distance / self.reach) ** 2)  # sigma is half the reach
        return mask & (distance.abs() <= self.reach), gaussian
