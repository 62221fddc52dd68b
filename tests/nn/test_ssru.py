from __future__ import annotations

import numpy as np
import torch

from weft.nn.ssru import SSRU

N, T, D = 3, 5, 4


def test_is_the_papers_equations() -> None:
    unit = SSRU(D).double()
    x, first = torch.randn(N, T, D).double(), torch.randn(N, D).double()
    out, last = unit(x, first)
    W_t, b_f, W = (p.detach().numpy() for p in (unit.forget.weight, unit.forget.bias, unit.candidate.weight))
    for row in range(N):
        c = first[row].numpy()
        for time in range(T):
            x_t = x[row, time].numpy()
            f = 1 / (1 + np.exp(-(W_t @ x_t + b_f)))
            c = f * c + (1 - f) * (W @ x_t)
            np.testing.assert_allclose(out[row, time].detach().numpy(), np.maximum(c, 0), atol=1e-12)
        np.testing.assert_allclose(last[row].detach().numpy(), c, atol=1e-12)


def test_token_by_token_is_all_at_once() -> None:
    unit = SSRU(D).double()
    x = torch.randn(N, T, D).double()
    together, last = unit(x, unit.before(x))
    past = unit.before(x)
    for time in range(T):
        out, past = unit(x[:, time : time + 1], past)
        torch.testing.assert_close(out[:, 0], together[:, time], atol=1e-12, rtol=0)
    torch.testing.assert_close(past, last, atol=1e-12, rtol=0)
