"""Which hypotheses go on: what a chooser is, and the two that look for the most probable output.

B sentences; G groups of hypotheses of each, L = B*G lanes in all; W hypotheses in a lane, N = L*W; V vocabulary,
C candidates. Lanes know nothing of each other, but for choosers that make them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

Memory = tuple[Tensor, ...]

GROUP = 64  # tokens, of which the best is looked for first
WORTH_GROUPS = 100_000  # scores; with fewer, more calls take longer than going over all


class Live(NamedTuple):
    """The hypotheses that go on, and what their chooser remembers of each."""

    totals: Tensor  # (L,W) what ranks them; -inf where a place holds none
    memory: Memory  # (L,W,...) each
    lanes: Tensor  # (L,) the number of each lane, G * sentence + group: finished sentences leave the batch


class Candidates(NamedTuple):
    """Extensions of the hypotheses of each lane, those first that are to be taken first.

    Of the first W, those whose token is the end are finished; the first W that are not the end go on.
    """

    totals: Tensor  # (L,C)
    parents: Tensor  # (L,C) which hypothesis is extended, 0..W-1
    tokens: Tensor  # (L,C) by which token
    memory: Memory = ()  # (L,C,...) each, what is to be remembered of those that go on


class Chooser:
    width: int  # W
    groups: int = 1  # G
    drawn: bool = False  # drawn outputs are compared by their totals, and one that is cut off is as good as another

    def start(self, lanes: Tensor) -> Memory:
        """lanes (L,) -> what is to be remembered of hypotheses that have said nothing, (L,W,...) each."""
        return ()

    def choose(self, log_probs: Tensor, live: Live, time: int) -> Candidates:
        """log_probs (L,W,V) after `time` tokens -> at least W candidates, 2W where ends may be among them."""
        raise NotImplementedError


class Greedy(Chooser):
    """The one most probable token."""

    width = 1

    def choose(self, log_probs: Tensor, live: Live, time: int) -> Candidates:
        return best_extensions(log_probs, live.totals, 1)


class Beam(Chooser):
    """The W best extensions, and as many more as may turn out to be ends."""

    def __init__(self, width: int) -> None:
        self.width = width

    def choose(self, log_probs: Tensor, live: Live, time: int) -> Candidates:
        return best_extensions(log_probs, live.totals)


def best_extensions(scores: Tensor, totals: Tensor, each: int = 2) -> Candidates:
    """The 2W with the highest sums of scores (L,W,V) and totals (L,W), best first, or all where there are fewer.

    Of another number than 2 for `each` of the W, so many.
    """
    lanes, width, size = scores.shape
    wanted = each * width
    if wanted == 1 and lanes * size < WORTH_GROUPS:
        best, tokens = scores[:, 0].max(-1, keepdim=True)
        return Candidates(totals + best, torch.zeros_like(tokens), tokens)
    if scores.is_cuda or scores.numel() < WORTH_GROUPS or size < GROUP * wanted:
        best, tokens = scores.topk(min(wanted, size), -1)
        of_each = best.size(-1)
        sums, places = (totals[..., None] + best).flatten(1).topk(min(wanted, width * of_each), -1)
        return Candidates(sums, places // of_each, tokens.flatten(1).gather(1, places))
    peaks = best_of_groups(scores)
    groups = (totals[..., None] + peaks).flatten(1).topk(wanted, -1).indices  # (L,2W), which hold the 2W
    parents, first = groups // peaks.size(2), groups % peaks.size(2) * GROUP
    tokens = first[..., None] + torch.arange(GROUP, device=scores.device)  # (L,2W,GROUP)
    inside = tokens.clamp(max=size - 1)
    members = scores.flatten(1).gather(1, (parents[..., None] * size + inside).flatten(1))
    sums = totals.gather(1, parents)[..., None] + members.view(tokens.shape).masked_fill(tokens >= size, -torch.inf)
    sums, places = sums.flatten(1).topk(wanted, -1)
    return Candidates(sums, parents.gather(1, places // GROUP), inside.flatten(1).gather(1, places))


def best_of_groups(scores: Tensor) -> Tensor:
    """(L,W,V) -> the highest of each GROUP neighbours, (L,W,V/GROUP), in many times less time than their order."""
    whole = scores.size(2) // GROUP * GROUP
    peaks = scores[..., :whole].unflatten(-1, (-1, GROUP)).amax(-1)
    rest = scores[..., whole:]
    return torch.cat([peaks, rest.amax(-1, keepdim=True)], -1) if rest.size(-1) else peaks
