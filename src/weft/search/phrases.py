"""Phrases as tokens, and how much of each of them an output ends with.

B sentences, P phrases, F = 2P forms of them, M tokens of the longest form, Q different tokens of a sentence's forms,
L lanes (one a sentence), W hypotheses in a lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Phrase(NamedTuple):
    """The tokens of a phrase inside an output, and at its start, where the first of them is the begin token."""

    inside: list[int]
    start: list[int]


class Automata:
    """An automaton for each form of each phrase (Knuth, Morris & Pratt 1977), all of them in one table.

    Its state is how many tokens of the form the output ends with; all of them is a state that is never left.
    """

    def __init__(self, phrases: Sequence[Sequence[Phrase]], begin: int, device: torch.device) -> None:
        forms = [[form for phrase in of_one for form in phrase] for of_one in phrases]
        words = [sorted({token for form in of_one for token in form} - {begin}) for of_one in forms]
        count = max(2, *map(len, forms))
        longest = max((len(form) for of_one in forms for form in of_one), default=0)
        size = max(map(len, words))
        tokens = np.full((len(forms), size), begin)
        lengths = np.zeros((len(forms), count), np.int64)
        after = np.zeros((len(forms), count, longest + 1, size + 1), np.int64)
        for row, (of_one, known) in enumerate(zip(forms, words, strict=True)):
            tokens[row, : len(known)] = known
            for number, form in enumerate(of_one):
                lengths[row, number] = len(form)
                after[row, number, len(form)] = len(form)
                for state in range(len(form)):
                    for token in set(form) - {begin}:
                        after[row, number, state, known.index(token)] = overlap([*form[:state], token], form)
        needed = [sum(len(phrase.inside) for phrase in of_one) for of_one in phrases]
        self.after = torch.from_numpy(after).to(device)  # (B,F,M+1,Q+1), the last column for every other token
        self.lengths = torch.from_numpy(lengths).to(device)  # (B,F), 0 of one that there is not
        self.tokens = torch.from_numpy(tokens).to(device)  # (B,Q), filled up with the begin token
        self.needed = torch.tensor(needed, device=device)  # (B,) tokens of all phrases

    def first(self, sentences: Tensor) -> Tensor:
        """sentences (L,) -> the states (L,F) after the begin token."""
        at_start = torch.arange(self.lengths.size(1), device=sentences.device) % 2
        return at_start * (self.lengths[sentences] > 0)

    def next(self, states: Tensor, sentences: Tensor) -> Tensor:
        """states (L,W,F) -> (L,W,F,Q+1), after each of the sentence's `tokens`, and after any other."""
        forms = torch.arange(states.size(2), device=states.device)
        return self.after[sentences[:, None, None], forms, states]

    def to_say(self, states: Tensor, sentences: Tensor) -> Tensor:
        """states (L,W,F,Q+1) -> (L,W,Q+1), how many tokens are still to be said if phrases are said one by one.

        What is said of a phrase counts for one phrase only, so that there is always a token that leaves less to say.
        """
        lengths = self.lengths[sentences][:, None, :, None]  # (L,1,F,1)
        inside, start = (lengths - states).unflatten(2, (-1, 2)).unbind(3)  # (L,W,P,Q+1)
        begun = states[:, :, 1::2] > 0  # or the output no longer begins as this form does, and never will
        missing = torch.where(begun, inside.minimum(start), inside)
        whole = lengths[:, :, ::2] * (missing > 0)  # of phrases that are not complete
        return whole.sum(2) - (whole - missing).amax(2)


def overlap(said: list[int], form: list[int]) -> int:
    """The length of the longest end of `said` that the form begins with."""
    lengths = range(min(len(said), len(form)), 0, -1)
    return next((n for n in lengths if said[-n:] == form[:n]), 0)
