from __future__ import annotations

import torch

from weft.nn.dropout import Dropout


def test_keeps_the_mean_and_zeroes_the_share() -> None:
    x = torch.ones(1000, 1001)
    dropped = Dropout(0.25)(x)
    assert abs(dropped.mean().item() - 1) < 0.005
    assert abs((dropped == 0).float().mean().item() - 0.25) < 0.005
    assert dropped.unique().numel() == 2


def test_gradient_goes_where_the_value_went() -> None:
    x = torch.ones(37, requires_grad=True)
    dropped = Dropout(0.5)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped)


def test_the_seed_decides() -> None:
    x = torch.ones(100)
    torch.manual_seed(3)
    one = Dropout(0.5)(x)
    torch.manual_seed(3)
    assert torch.equal(Dropout(0.5)(x), one)
    assert not torch.equal(Dropout(0.5)(x), one)


def test_off_outside_training_and_at_zero() -> None:
    x = torch.randn(5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
