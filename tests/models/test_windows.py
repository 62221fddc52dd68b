"""Windows of several widths against the paper's equations, in NumPy."""

from __future__ import annotations

import numpy as np
import torch

from weft.data.batch import Padded
from weft.models.windows import WindowEncoder
from weft.nn.context import Summary
from weft.recipe import WindowEncoder as Settings


def test_the_equations_of_the_paper() -> None:
    """c_i = f(w . x_{i:i+h-1} + b), and the largest of them (Kim 2014, equations 2 and 3)."""
    torch.manual_seed(1)
    encoder = WindowEncoder(3, Settings(widths=[1, 2, 4], channels=2)).double()
    lengths = [5, 1, 3]
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    memory = encoder(Padded(x, torch.tensor(lengths)))
    largest = Summary("max", encoder.width)(memory.values, memory.mask, memory.context)
    for row, length in enumerate(lengths):
        expected = []
        for size, window in zip([1, 2, 4], encoder.windows, strict=True):
            weight, bias = window.weight.detach().numpy(), window.bias.detach().numpy()
            zeros = np.zeros((4, 3))
            words = np.concatenate([zeros, x[row, :length].numpy(), zeros])
            first = 4 - (size - 1) // 2
            for channel in range(2):
                seen = [words[first + i : first + i + size] for i in range(length)]
                expected.append([max(0.0, float((weight[channel].T * one).sum() + bias[channel])) for one in seen])
        np.testing.assert_allclose(memory.values[row, :length].detach().numpy(), np.array(expected).T, atol=1e-12)
        np.testing.assert_allclose(largest[row].detach().numpy(), np.max(expected, axis=1), atol=1e-12)


def test_what_stands_beyond_a_sentence_is_never_seen() -> None:
    torch.manual_seed(2)
    encoder = WindowEncoder(4, Settings(widths=[3, 5], channels=3)).double()
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    lengths = torch.tensor([6, 2])
    before = encoder(Padded(x, lengths)).values[1, :2]
    x[1, 2:] = torch.nan
    torch.testing.assert_close(encoder(Padded(x, lengths)).values[1, :2], before, rtol=0, atol=0)
