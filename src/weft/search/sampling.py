"""Outputs that are drawn: independently of each other, or without replacement.

L lanes, W hypotheses in a lane, V vocabulary. What chance decides comes from (seed, number of the line, ...) alone,
drawn by NumPy on the CPU: so a line has the same samples in any batch, and on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weft.search.choosers import Candidates, Chooser, Live, Memory, best_extensions
from weft.search.truncation import min_p, top_k, top_p


@dataclass(frozen=True)
class Draw:
    """The distribution that tokens are drawn from: p^(1/temperature) over those that are not cut away."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def log_probs(self, log_probs: Tensor) -> Tensor:
        """(L,W,V), of which rules may have forbidden some -> the same in `precise` numbers, summing to one."""
        drawn = (log_probs.to(precise(log_probs.device)) / self.temperature).log_softmax(-1)
        if self.top_k:
            drawn = top_k(drawn, self.top_k)
        if self.top_p < 1:
            drawn = top_p(drawn, self.top_p)
        if self.min_p:
            drawn = min_p(drawn, self.min_p)
        return drawn


class Sample(Chooser):
    """Independent samples of each sentence, a lane for each (ancestral sampling)."""

    width = 1
    drawn = True

    def __init__(
        self, draw: Draw, samples: int, seed: int, lines: Sequence[int], longest: int, device: torch.device
    ) -> None:
        """`lines` are the numbers of the B sentences; none of them says more than `longest` tokens."""
        self.groups = samples
        self.draw = draw
        numbers = [
            np.random.default_rng((seed, line, sample)).random(longest + 1)
            for line in lines
            for sample in range(samples)
        ]
        self.uniform = torch.from_numpy(np.stack(numbers)).to(device, precise(device))  # (L,T+1) of all, in 0..1

    def choose(self, log_probs: Tensor, live: Live, time: int) -> Candidates:
        reached = self.draw.log_probs(log_probs)[:, 0].exp().cumsum(-1)  # (L,V)
        at = self.uniform[live.lanes, time, None] * reached[:, -1:]
        tokens = torch.searchsorted(reached, at, right=True).clamp(max=log_probs.size(-1) - 1)
        possible = log_probs[:, 0].gather(1, tokens).isfinite()
        return Candidates(live.totals.masked_fill(~possible, -torch.inf), torch.zeros_like(tokens), tokens)


class Gumbel(Chooser):
    """Stochastic beam search: W different outputs, drawn without replacement (Kool et al. 2019, algorithm 1).

    Each output's log-probability phi with Gumbel noise G added: the W highest sums are such a sample. The highest
    sum among all that begin alike is itself Gumbel distributed around phi of the beginning, so that the sums of
    extensions can be drawn from that of the hypothesis, as those that have it as their highest.
    """

    drawn = True

    def __init__(self, temperature: float, width: int, seed: int, lines: Sequence[int]) -> None:
        self.width = width
        self.draw = Draw(temperature)
        self.seed = seed
        self.lines = lines

    def start(self, lanes: Tensor) -> Memory:
        return (torch.zeros(len(lanes), self.width, dtype=precise(lanes.device), device=lanes.device),)

    def choose(self, log_probs: Tensor, live: Live, time: int) -> Candidates:
        phi = live.memory[0][..., None] + self.draw.log_probs(log_probs)  # (L,W,V)
        sums = conditioned(phi + self.noise(log_probs, live, time), live.totals[..., None].to(phi.dtype))
        sums = sums.masked_fill(~phi.isfinite(), -torch.inf)
        found = best_extensions(sums, torch.zeros_like(live.totals, dtype=phi.dtype))
        chosen = phi.flatten(1).gather(1, found.parents * phi.size(-1) + found.tokens)
        return found._replace(memory=(chosen,))

    def noise(self, log_probs: Tensor, live: Live, time: int) -> Tensor:
        """(L,W,V) draws of Gumbel(0), each line's from its own number."""
        shape = log_probs.shape[1:]
        uniform = [
            np.random.default_rng((self.seed, self.lines[lane], time)).random(shape) for lane in live.lanes.tolist()
        ]
        above_zero = torch.from_numpy(np.stack(uniform)).clamp(min=torch.finfo(torch.float64).tiny)
        return -(-above_zero.log()).log().to(log_probs.device, precise(log_probs.device))


def precise(device: torch.device) -> torch.dtype:
    """The numbers that are drawn with; Apple's GPUs have no larger ones."""
    return torch.float32 if device.type == "mps" else torch.float64


def conditioned(sums: Tensor, highest: Tensor) -> Tensor:
    """Sums phi + G (L,W,V) shifted so that the highest of each row is `highest` (L,W,1) (appendix B.3)."""
    v = highest - sums + torch.log1p(-torch.exp(sums - sums.amax(-1, keepdim=True)))
    return highest - v.relu() - torch.log1p(torch.exp(-v.abs()))
