from __future__ import annotations

import math

import torch

from weft.nn.position import Sinusoidal, sinusoids


def test_is_the_papers_formula() -> None:
    table = sinusoids(30, 8)
    for position in (0, 1, 29):
        for i in range(4):
            angle = position / 10000 ** (2 * i / 8)
            assert math.isclose(table[position, 2 * i], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(table[position, 2 * i + 1], math.cos(angle), abs_tol=1e-6)


def test_no_length_is_too_long() -> None:
    position = Sinusoidal(4)
    x = torch.zeros(1, 2000, 4)
    whole = position(x)
    torch.testing.assert_close(whole[0], sinusoids(2000, 4))
    torch.testing.assert_close(position(x[:, :5], start=1990)[0], whole[0, 1990:1995])
