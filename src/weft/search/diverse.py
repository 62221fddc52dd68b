"""Diverse beam search (Vijayakumar et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from weft.search.choosers import Candidates, Chooser, Live, best_extensions


class Diverse(Chooser):
    """Beams in groups, each of which avoids the tokens that the groups before it choose at the same time.

    The score of a token is log p - diversity * (how often an earlier group chose it now), the Hamming diversity of
    section 4.1. The sum of these scores decides who goes on, as in the authors' code; outputs are compared by log p.
    """

    def __init__(self, width: int, groups: int, diversity: float) -> None:
        """`groups` times `width` hypotheses in all."""
        self.width = width
        self.groups = groups
        self.diversity = diversity

    def choose(self, log_probs: Tensor, live: Live, time: int) -> Candidates:
        scores = log_probs.unflatten(0, (-1, self.groups))  # (B,G,W,V)
        totals = live.totals.unflatten(0, (-1, self.groups))
        chosen = torch.zeros_like(scores[:, 0, 0])  # (B,V) how often, by the groups so far
        groups: list[Candidates] = []
        for group in range(self.groups):
            found = best_extensions(scores[:, group] - self.diversity * chosen[:, None], totals[:, group])
            first = found.totals[:, : self.width]
            chosen.scatter_add_(1, found.tokens[:, : self.width], first.isfinite().to(chosen.dtype))
            groups.append(found)
        totals, parents, tokens = (
            torch.stack(parts, 1).flatten(0, 1)
            for parts in zip(*((found.totals, found.parents, found.tokens) for found in groups), strict=True)
        )
        return Candidates(totals, parents, tokens)
