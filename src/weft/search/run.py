"""The one search loop: it steps a model, lets a chooser choose, and lets finished sentences leave the batch.

B sentences; G lanes of each, L = B*G; W hypotheses in a lane, N = L*W; S source length, t tokens so far, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weft.data.batch import Padded
from weft.errors import WeftError
from weft.models.base import StepModel, reorder
from weft.search.choosers import Chooser, Live
from weft.search.hypothesis import History, Hypothesis, Limits
from weft.search.lanes import Lanes
from weft.search.rules import Rule, obeyed


@torch.inference_mode()
def search(
    model: StepModel, source: Padded, chooser: Chooser, limits: Limits, rules: Sequence[Rule] = ()
) -> list[list[Hypothesis]]:
    """The n best hypotheses of each of the B sentences of `source`, best first, at least one each.

    A lane is finished with W finished hypotheses (unless they are drawn), at its sentence's length cap, or as soon as
    none that goes on can still come among its n best. At the cap, what has not ended is returned only where too few
    have, marked `length`. Raises WeftError where the coverage penalty has no attention to go by.
    """
    groups, width, device = chooser.groups, chooser.width, source.data.device
    fixed, state = model.start(source)
    lanes = torch.arange(len(source) * groups, device=device)
    totals = torch.full((len(lanes), width), -torch.inf, device=device)
    totals[:, 0] = 0.0
    live = Live(totals, chooser.start(lanes), lanes)
    sentences, first = places(live, chooser)
    state = reorder(state, sentences)
    tokens = torch.full_like(sentences, limits.begin)
    history = History.of_nothing(len(tokens), source.positions if limits.keeps_weights else None, device)
    finished = Lanes(source, chooser, limits)

    for time in range(max(limits.max_lengths) + 1):
        log_probs, weights, state = model.step(tokens, state, fixed)
        if weights is None and limits.coverage_penalty:
            raise WeftError("search.coverage_penalty goes by attention, of which this model has none")
        log_probs = obeyed(rules, log_probs, history.tokens, sentences)
        found = chooser.choose(log_probs.view(len(first), width, -1), live, time)
        rows = found.parents + first  # (L,C) of N
        said = log_probs[rows, found.tokens]
        looked = weights.mean(1) if limits.keeps_weights and weights is not None else None

        before, words, totals, memory = live.totals, found.tokens, found.totals, found.memory
        is_end = words == limits.end
        if ends := is_end.nonzero().tolist():
            finished.ended(ends, history, looked, rows, said, totals)
            totals = totals.masked_fill(is_end, -torch.inf)
        if words.size(1) > width:
            choices = is_end.byte().argsort(dim=1, stable=True)[:, :width] if ends else slice(width)
            rows, words, said, totals = (chosen(x, choices) for x in (rows, words, said, totals))
            memory = tuple(chosen(x, choices) for x in memory)
        live = Live(totals, memory, live.lanes)
        going_on = finished.going_on(history, before, totals, time)
        if not going_on:
            break
        leaving = len(going_on) * groups < len(first)
        if leaving:
            keep = torch.tensor(going_on, device=device)
            fixed = reorder(fixed, keep)
            keep = (keep[:, None] * groups + torch.arange(groups, device=device)).flatten()
            live, rows, words, said = reorder((live, rows, words, said), keep)
            sentences, first = places(live, chooser)
        if leaving or width > 1:
            kept = rows.flatten()
            state, history, looked = reorder((state, history, looked), kept)
        tokens = words.flatten()
        history = history.extended(tokens, said.flatten(), looked)
    return finished.found()


def places(live: Live, chooser: Chooser) -> tuple[Tensor, Tensor]:
    """The sentence of each of the N hypotheses, and the row of N that each lane starts with, (L,1)."""
    sentences = (live.lanes // chooser.groups).repeat_interleave(chooser.width)
    return sentences, torch.arange(0, len(sentences), chooser.width, device=sentences.device)[:, None]


def chosen(candidates: Tensor, choices: Tensor | slice) -> Tensor:
    """Of candidates (L,C) or (L,C,F), those at `choices` (L,W), or in a slice."""
    if isinstance(choices, slice):
        return candidates[:, choices]
    if candidates.dim() == 3:
        choices = choices[..., None].expand(-1, -1, candidates.size(2))
    return candidates.gather(1, choices)
