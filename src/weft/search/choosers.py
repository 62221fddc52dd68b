"""Which hypotheses go on: what a chooser is, and the two that look for the most probable output.

B sentences; G groups of hypotheses of each, L = B*G lanes in all; W hypotheses in a lane, N = L*W; V vocabulary,
C candidates. Lanes know nothing of each other, but for choosers that make them.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

Memory = tuple[Tensor, ...]


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
        best, tokens = log_probs[:, 0].max(-1, keepdim=True)
        return Candidates(live.totals + best, tokens.new_zeros(tokens.shape), tokens)


class Beam(Chooser):
    """The W best extensions, and as many more as may turn out to be ends."""

    def __init__(self, width: int) -> None:
        self.width = width

    def choose(self, log_probs: Tensor, live: Live, time: int) -> Candidates:
        return best_extensions(log_probs, live.totals)


def best_extensions(scores: Tensor, totals: Tensor) -> Candidates:
    """The 2W with the highest sums of scores (L,W,V) and totals (L,W), best first, or all where there are fewer."""
    wanted = 2 * scores.size(1)
    best, tokens = scores.topk(min(wanted, scores.size(-1)), -1)
    each = best.size(-1)
    sums, places = (totals[..., None] + best).flatten(1).topk(min(wanted, scores.size(1) * each), -1)
    return Candidates(sums, places // each, tokens.flatten(1).gather(1, places))
