"""The one search loop: it steps a model, lets a chooser choose, and lets finished sentences leave the batch.

B sentences, K hypotheses of each, N = B*K, S source length, t tokens so far, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from weft.data.batch import Padded
from weft.models.base import StepModel, reorder
from weft.search.choosers import Chooser
from weft.search.rules import Rule


@dataclass(frozen=True)
class Hypothesis:
    tokens: list[int]  # without the end token
    token_scores: list[float]  # log-probability of each token, and of the end where there is one
    score: float  # the sum of token_scores / length^penalty, the length counted without the end
    finish_reason: Literal["end", "length"]
    attention: Tensor | None = None  # (T,S), mean over heads, one row for each of token_scores


@dataclass(frozen=True)
class Limits:
    """When a hypothesis is finished, and how finished ones are compared."""

    begin: int
    end: int
    max_lengths: Sequence[int]  # of each sentence, without the end token
    length_penalty: float = 1.0
    n_best: int = 1
    attention: bool = False

    def score(self, total: float, length: int) -> float:
        return total / float(max(1, length) ** self.length_penalty)

    def best_possible(self, total: float, sentence: int) -> float:
        """What a hypothesis that goes on can still reach: log-probabilities only add up to less."""
        return self.score(total, self.max_lengths[sentence])


class History(NamedTuple):
    """What each live hypothesis has said, and looked at while it did."""

    tokens: Tensor  # (N,t)
    scores: Tensor  # (N,t)
    weights: Tensor | None  # (N,t,S)


@dataclass
class Finished:
    """The finished hypotheses of one sentence; one that was cut off comes after all that have ended."""

    hypotheses: list[Hypothesis] = field(default_factory=list)

    def best(self, count: int) -> list[Hypothesis]:
        return sorted(self.hypotheses, key=lambda one: (one.finish_reason == "length", -one.score))[:count]

    def closed_to(self, possible: float, count: int) -> bool:
        """Whether nothing that scores `possible` would be among the best."""
        return len(self.hypotheses) >= count and self.best(count)[-1].score >= possible


@torch.inference_mode()
def search(
    model: StepModel, source: Padded, chooser: Chooser, limits: Limits, rules: Sequence[Rule] = ()
) -> list[list[Hypothesis]]:
    """The n best hypotheses of each of the B sentences of `source`, best first, at least one each.

    A sentence is finished with K finished hypotheses, at its length cap, or as soon as none that goes on can still
    come among its n best. At the cap, what has not ended is returned only where too few have, marked `length`.
    """
    width, device = chooser.width, source.data.device
    fixed, state = model.start(source)
    state = reorder(state, torch.arange(len(source), device=device).repeat_interleave(width))
    totals = torch.full((len(source), width), -torch.inf, device=device)
    totals[:, 0] = 0.0
    tokens = torch.full((len(source) * width,), limits.begin, device=device)
    empty = torch.empty(len(tokens), 0, device=device)
    history = History(
        empty.long(), empty, empty.new_empty(len(tokens), 0, source.data.size(1)) if limits.attention else None
    )
    finished = [Finished() for _ in range(len(source))]
    live = list(range(len(source)))

    for time in range(max(limits.max_lengths) + 1):
        log_probs, weights, state = model.step(tokens, state, fixed)
        for rule in rules:
            log_probs = rule(log_probs, history.tokens)
        totals, parents, words = chooser.choose(log_probs.view(len(live), width, -1), totals)
        rows = parents + width * torch.arange(len(live), device=device)[:, None]
        said = log_probs[rows.flatten(), words.flatten()].view(words.shape)
        looked = None if history.weights is None or weights is None else weights.mean(1)

        is_end = words == limits.end
        for place, choice in (is_end[:, :width] & totals[:, :width].isfinite()).nonzero().tolist():
            finished[live[place]].hypotheses.append(
                ended(history, looked, rows[place, choice], said[place, choice], totals[place, choice], limits)
            )
        totals, choices = totals.masked_fill(is_end, -torch.inf).topk(min(width, totals.size(1)), -1)
        rows, words, said = (x.gather(1, choices) for x in (rows, words, said))
        said = said.masked_fill(totals == -torch.inf, -torch.inf)  # no continuation, only a filled place
        best = totals[:, 0].tolist()
        for place, sentence in enumerate(live):
            if time == limits.max_lengths[sentence] or best[place] == -torch.inf:
                cut_off(finished[sentence], history, place * width, width, limits)
        going_on = [
            place
            for place, sentence in enumerate(live)
            if not is_done(finished[sentence], best[place], time, sentence, width, limits)
        ]
        if not going_on:
            break
        if len(going_on) < len(live):
            keep = torch.tensor(going_on, device=device)
            live = [live[place] for place in going_on]
            totals, rows, words, said, fixed = reorder((totals, rows, words, said, fixed), keep)
        tokens, flat = words.flatten(), rows.flatten()
        state = reorder(state, flat)
        history = extended(history, looked, flat, tokens, said.flatten())
    return [sentence.best(limits.n_best) for sentence in finished]


def is_done(sentence: Finished, best: float, time: int, number: int, width: int, limits: Limits) -> bool:
    if len(sentence.hypotheses) >= max(width, limits.n_best) or time >= limits.max_lengths[number]:
        return True
    return best == -torch.inf or sentence.closed_to(limits.best_possible(best, number), limits.n_best)


def extended(history: History, looked: Tensor | None, rows: Tensor, tokens: Tensor, said: Tensor) -> History:
    """The history of the hypotheses `rows` (N,) after each has said one more token."""
    before = reorder(history, rows)
    weights = None
    if before.weights is not None and looked is not None:
        weights = torch.cat([before.weights, looked[rows, None, :]], 1)
    return History(
        torch.cat([before.tokens, tokens[:, None]], 1), torch.cat([before.scores, said[:, None]], 1), weights
    )


def ended(
    history: History, looked: Tensor | None, row: Tensor, said: Tensor, total: Tensor, limits: Limits
) -> Hypothesis:
    tokens = history.tokens[row].tolist()
    attention = None
    if history.weights is not None and looked is not None:
        attention = torch.cat([history.weights[row], looked[row, None]]).cpu()
    scores = [*history.scores[row].tolist(), said.item()]
    return Hypothesis(tokens, scores, limits.score(total.item(), len(tokens)), "end", attention)


def cut_off(sentence: Finished, history: History, first: int, width: int, limits: Limits) -> None:
    """Fill up the n best with what has reached the length cap without an end."""
    known = [hypothesis.tokens for hypothesis in sentence.hypotheses]
    for row in range(first, first + width):
        tokens, scores = history.tokens[row].tolist(), history.scores[row].tolist()
        if len(sentence.hypotheses) >= limits.n_best or -torch.inf in scores or tokens in known:
            continue
        known.append(tokens)
        attention = None if history.weights is None else history.weights[row].cpu()
        score = limits.score(sum(scores), len(scores))
        sentence.hypotheses.append(Hypothesis(tokens, scores, score, "length", attention))
