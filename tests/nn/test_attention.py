"""The windows of local attention, on examples that can be counted out; test_scores.py has their equations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weft.nn.attention import Attention, Predicted
from weft.recipe import Attention as Settings

D = 4


def looked_at(attention: Attention, lengths: list[int], position: Tensor) -> list[list[list[int]]]:
    """The places that get weight, for each sentence and query."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])[:, None]
    query, values = torch.randn(len(lengths), position.size(-1), D), torch.randn(len(lengths), max(lengths), D)
    _, weights = attention(query, attention.keys(values), values, mask, position)
    return [[row.nonzero().flatten().tolist() for row in sentence] for sentence in weights[:, 0]]


def test_local_m_goes_along_with_the_steps() -> None:
    attention = Attention(D, D, Settings(kind="dot", window="local_m", reach=1))
    assert looked_at(attention, [5, 2], torch.arange(7)) == [
        [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4], [3, 4], [3, 4]],
        [[0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]],
    ]


def test_local_m_takes_steps_of_each_sentence() -> None:
    attention = Attention(D, D, Settings(kind="dot", window="local_m", reach=1))
    steps = torch.tensor([[4, 4], [0, 0]])  # two hypotheses of each
    assert looked_at(attention, [5, 5], steps) == [[[3, 4], [3, 4]], [[0, 1], [0, 1]]]


def test_local_p_stands_where_it_is_told() -> None:
    window = Predicted(D, reach=2)
    torch.nn.init.zeros_(window.outer.weight)  # sigmoid(0) of the length: the middle
    mask = (torch.arange(6) < torch.tensor([6, 4])[:, None])[:, None]
    allowed, factor = window(torch.randn(2, 1, D), mask, None)
    assert allowed.squeeze(1).tolist() == [[True] * 5 + [False], [True] * 4 + [False] * 2]
    expected = [math.exp(-((place - 3) ** 2) / 2) for place in range(1, 7)]
    torch.testing.assert_close(factor[0, 0], torch.tensor(expected))
