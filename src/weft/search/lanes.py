"""What each lane of a search has finished, and which lanes go on.

B sentences, G lanes of each, L = B*G, W hypotheses in a lane, N = L*W, C candidates of a lane, S source length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from weft.data.batch import Padded
from weft.search.choosers import Chooser
from weft.search.hypothesis import FinishReason, History, Hypothesis, Limits


class Ranked(NamedTuple):
    """A finished hypothesis; of those that were searched for, one that was cut off comes after all that have ended."""

    ended: bool  # true of all that were drawn
    value: float
    hypothesis: Hypothesis


@dataclass
class Lane:
    sentence: int
    ranked: list[Ranked] = field(default_factory=list)
    open: bool = True  # whether its hypotheses go on

    def closed_to(self, possible: float, count: int) -> bool:
        """Whether nothing of that value would be among the best."""
        if len(self.ranked) < count:
            return False
        return sorted([one.value for one in self.ranked], reverse=True)[count - 1] >= possible


def best(ranked: list[Ranked], count: int) -> list[Ranked]:
    """The best of different outputs."""
    found: dict[tuple[int, ...], Ranked] = {}
    for one in sorted(ranked, key=lambda one: one[:2], reverse=True):
        found.setdefault(tuple(one.hypothesis.tokens), one)
    return list(found.values())[:count]


def closed_up(places: list[int]) -> list[int]:
    """Places in rising order, the last of them in the gaps of the first: those below their number stay where they are.

    So a model that can do that need not move what stays.
    """
    count = len(places)
    staying, moving = {place for place in places if place < count}, [place for place in places if place >= count]
    return [place if place in staying else moving.pop() for place in range(count)]


class Lanes:
    """All lanes; a place is that of a lane among those whose sentences are still in the batch."""

    def __init__(self, source: Padded, chooser: Chooser, limits: Limits) -> None:
        self.groups, self.width, self.drawn = chooser.groups, chooser.width, chooser.drawn
        self.limits = limits
        self.source_lengths = source.lengths.tolist()
        self.all = [Lane(number // self.groups) for number in range(len(source) * self.groups)]
        self.live = list(self.all)
        # Groups are merged at last; until then none may depend on how many are asked for.
        self.wanted = limits.n_best if self.groups == 1 else self.width

    def ended(
        self, ends: list[list[int]], history: History, looked: Tensor | None, rows: Tensor, said: Tensor, totals: Tensor
    ) -> None:
        """Of the candidates (L,C), keep the ends among the first W; `said` are log-probabilities, looked (N,S).

        `ends` are the [place, candidate] of all ends.
        """
        for place, candidate in ends:
            if candidate >= self.width or (total := totals[place, candidate].item()) == -inf:
                continue
            row = rows[place, candidate]
            weights = None
            if history.weights is not None and looked is not None:
                weights = torch.cat([history.weights[row], looked[row, None]])
            scores = [*history.scores[row].tolist(), said[place, candidate].item()]
            self.add(self.live[place], history.tokens[row].tolist(), scores, "end", weights, total)

    def going_on(self, history: History, before: Tensor, after: Tensor, time: int) -> list[int]:
        """Places of the sentences that go on, in their new order, after lanes that do not are closed.

        before and after (L,W) are totals without and with the last token, which is not in the history; those of a
        closed lane become -inf.
        """
        for place, (lane, possible) in enumerate(zip(self.live, after.amax(1).tolist(), strict=True)):
            if not lane.open:
                continue
            last = time == self.limits.max_lengths[lane.sentence] or possible == -inf
            if last:
                self.cut_off(lane, place * self.width, history, before[place].tolist())
            if last or self.is_full(lane, possible):
                lane.open = False
                after[place] = -inf
        places = list(dict.fromkeys(place // self.groups for place, lane in enumerate(self.live) if lane.open))
        if len(places) * self.groups < len(self.live):
            places = closed_up(places)
            self.live = [lane for n in places for lane in self.live[n * self.groups : (n + 1) * self.groups]]
        return places

    def is_full(self, lane: Lane, possible: float) -> bool:
        """Whether what goes on, with a highest total of `possible`, cannot or shall not come among the best."""
        if not lane.ranked:
            return False
        if self.drawn:
            return lane.closed_to(possible, self.wanted)
        if len(lane.ranked) >= max(self.width, self.wanted):
            return True
        return lane.closed_to(self.limits.best_possible(possible, lane.sentence), self.wanted)

    def cut_off(self, lane: Lane, first: int, history: History, totals: list[float]) -> None:
        """Keep what goes on without an end: all that was drawn; of what was searched for, as many as are wanting."""
        known = [one.hypothesis.tokens for one in lane.ranked]
        for row, total in enumerate(totals, first):
            tokens, scores = history.tokens[row].tolist(), history.scores[row].tolist()
            if total == -inf or (not self.drawn and (len(lane.ranked) >= self.wanted or tokens in known)):
                continue
            known.append(tokens)
            weights = None if history.weights is None else history.weights[row]
            self.add(lane, tokens, scores, "length", weights, total)

    def add(
        self,
        lane: Lane,
        tokens: list[int],
        scores: list[float],
        reason: FinishReason,
        weights: Tensor | None,
        total: float,
    ) -> None:
        hypothesis = self.limits.hypothesis(tokens, scores, reason, weights, self.source_lengths[lane.sentence])
        if self.drawn:
            lane.ranked.append(Ranked(True, total, hypothesis))
        else:
            lane.ranked.append(Ranked(reason == "end", hypothesis.score, hypothesis))

    def found(self) -> list[list[Hypothesis]]:
        """The n best of each sentence: what was searched for best first, what was drawn lane by lane."""
        count = self.limits.n_best
        outputs = []
        for first in range(0, len(self.all), self.groups):
            lanes = self.all[first : first + self.groups]
            if self.drawn:
                ranked = [one for lane in lanes for one in best(lane.ranked, count)]
            else:
                ranked = best([one for lane in lanes for one in lane.ranked], count)
            outputs.append([one.hypothesis for one in ranked[:count]])
        return outputs
