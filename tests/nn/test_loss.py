from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from weft.nn import loss
from weft.nn.loss import SmoothedCrossEntropy


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "CHUNK", 4)


def inputs(rows: int = 10) -> tuple[torch.Tensor, ...]:
    x, weight, bias = torch.randn(rows, 3), torch.randn(7, 3), torch.randn(7)
    return *(t.double().requires_grad_() for t in (x, weight, bias)), torch.randint(7, (rows,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_and_gradient_are_those_of_the_whole_softmax(smoothing: float) -> None:
    x, weight, bias, gold = inputs()
    ours = SmoothedCrossEntropy.apply(x, weight, bias, gold, smoothing)
    ours.backward()
    gradients = [t.grad.clone() for t in (x, weight, bias)]
    for t in (x, weight, bias):
        t.grad = None
    whole = F.cross_entropy(x @ weight.T + bias, gold, reduction="sum", label_smoothing=smoothing)
    whole.backward()
    torch.testing.assert_close(ours, whole)
    for mine, theirs in zip(gradients, (x, weight, bias), strict=True):
        torch.testing.assert_close(mine, theirs.grad)


def test_gradcheck() -> None:
    x, weight, bias, gold = inputs(5)
    torch.autograd.gradcheck(lambda *t: SmoothedCrossEntropy.apply(*t, gold, 0.1), (x, weight, bias))


def test_large_scores_do_not_overflow() -> None:
    x = torch.tensor([[1e4, -1e4]])
    value = SmoothedCrossEntropy.apply(x, torch.eye(2), torch.zeros(2), torch.tensor([1]), 0.1)
    assert torch.isfinite(value)
    assert value == pytest.approx(0.95 * 2e4, rel=1e-3)
