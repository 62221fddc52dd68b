"""Every output of a small model, by going through them one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from weft.data.batch import Padded

BEGIN, END = 2, 3
NO_OUTPUT = [0, 1, BEGIN]


def log_probs(model: Any, source: Padded, tokens: Sequence[int]) -> torch.Tensor:
    """(T+1,V) what may come after each of the first t tokens, for a batch of one."""
    fixed, state = model.start(source)
    found = []
    for last in [BEGIN, *tokens]:
        scores, _, state = model.step(torch.tensor([last]), state, fixed)
        found.append(scores[0])
    return torch.stack(found)


def log_prob(model: Any, source: Padded, tokens: Sequence[int], ended: bool = True) -> float:
    """Log-probability of an output for a batch of one."""
    said = [*tokens, END] if ended else list(tokens)
    return sum(row[token].item() for row, token in zip(log_probs(model, source, tokens), said, strict=False))


def every(words: Sequence[int], longest: int) -> list[list[int]]:
    return [list(output) for n in range(longest + 1) for output in itertools.product(words, repeat=n)]


def every_output(
    model: Any, source: Padded, words: Sequence[int], longest: int, penalty: float
) -> list[tuple[float, list[int]]]:
    """All outputs of these words with their scores, best first; a batch of one."""
    fixed, first = model.start(source)
    found = []

    def go_on(tokens: list[int], total: float, state: Any) -> None:
        scores, _, state = model.step(torch.tensor([tokens[-1] if tokens else BEGIN]), state, fixed)
        found.append(((total + scores[0, END].item()) / max(1, len(tokens)) ** penalty, tokens))
        for word in words if len(tokens) < longest else ():
            go_on([*tokens, word], total + scores[0, word].item(), state)

    go_on([], 0.0, first)
    return sorted(found, key=lambda one: -one[0])


def holds(tokens: Sequence[int], phrase: Sequence[int]) -> bool:
    return any(list(tokens[i : i + len(phrase)]) == list(phrase) for i in range(len(tokens) - len(phrase) + 1))
