"""Beam search for outputs that hold given phrases (Hokamp & Liu 2017, Post & Vilar 2018).

L lanes (one a sentence), W hypotheses in a lane, V vocabulary, Q tokens that phrases consist of, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weft.search.choosers import Candidates, Chooser, Live, Memory
from weft.search.phrases import Automata, Phrase


class Constrained(Chooser):
    """A beam whose places are shared out among banks of hypotheses with equally many tokens still to say.

    There is no end before all phrases are said. What a sentence without phrases finds is what a Beam finds.
    """

    def __init__(
        self,
        width: int,
        phrases: Sequence[Sequence[Phrase]],
        begin: int,
        end: int,
        max_lengths: Sequence[int],
        device: torch.device,
    ) -> None:
        """The phrases of each of the B sentences, and how many tokens it may say."""
        self.width = width
        self.begin = begin
        self.end = end
        self.max_lengths = torch.tensor(max_lengths, device=device)
        self.automata = Automata(phrases, begin, device)
        self.banks = int(self.automata.needed.max()) + 1

    def start(self, lanes: Tensor) -> Memory:
        return (self.automata.first(lanes)[:, None].repeat(1, self.width, 1),)

    def choose(self, log_probs: Tensor, live: Live, time: int) -> Candidates:
        lanes, states = live.lanes, live.memory[0]
        after = self.automata.next(states, lanes)  # (L,W,F,Q+1)
        to_say = self.automata.to_say(after, lanes)  # (L,W,Q+1)
        special = self.automata.tokens[lanes][:, None].expand(-1, self.width, -1)  # (L,W,Q)
        columns = torch.arange(special.size(2), device=lanes.device).expand_as(special)

        sums = live.totals[..., None] + log_probs
        sums[..., self.end].masked_fill_(to_say[..., -1] > 0, -torch.inf)
        of_special = sums.gather(2, special).masked_fill(special == self.begin, -torch.inf)
        plain, words = sums.scatter(2, special, -torch.inf).topk(min(2 * self.width, sums.size(2)), -1)
        every = torch.full_like(words, special.size(2))  # the column of all tokens that are not special

        totals = torch.cat([plain, of_special], 2)
        columns = torch.cat([every, columns], 2)
        words = torch.cat([words, special], 2)
        left = to_say.gather(2, columns)
        last = self.max_lengths[lanes].eq(time + 1)[:, None, None]
        totals = totals.masked_fill(last & (left > 0), -torch.inf)

        chosen, places = self.shared_out(totals.flatten(1), left.flatten(1), lanes)
        parents = places // totals.size(2)
        rows = torch.arange(len(lanes), device=lanes.device)[:, None]
        states = after[rows, parents, :, columns.flatten(1).gather(1, places)]
        return Candidates(chosen, parents, words.flatten(1).gather(1, places), (states,))

    def shared_out(self, totals: Tensor, left: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        """totals, left (L,C) -> totals and places (L,2W): W from all banks, then others with nothing left to say.

        Each bank has an equal part of the W; what one cannot fill goes to those with less left to say (section 3).
        The end belongs to the bank with nothing left; the others of that bank are there to go on in its place.
        """
        banks = [
            totals.masked_fill(left != bank, -torch.inf).topk(min(2 * self.width, totals.size(1)), -1)
            for bank in range(self.banks)
        ]
        best = torch.stack([bank.values for bank in banks], 1)  # (L,banks,2W), -inf where there is nothing
        found = best.isfinite()
        counts = found.sum(2).clamp(max=self.width)
        sizes = counts.minimum(self.width // (self.automata.needed[lanes, None] + 1))
        free = self.width - sizes.sum(1)
        for bank in range(self.banks):
            more = free.minimum(counts[:, bank] - sizes[:, bank])
            sizes[:, bank] += more
            free -= more
        later = torch.full_like(found, 2, dtype=torch.long)
        later[:, 0] = 1
        later[~found] = 3
        later[torch.arange(found.size(2), device=lanes.device) < sizes[..., None]] = 0
        order = later.flatten(1).argsort(dim=1, stable=True)[:, : 2 * self.width]
        return best.flatten(1).gather(1, order), torch.cat([bank.indices for bank in banks], 1).gather(1, order)
