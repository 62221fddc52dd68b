"""How much of the divergence counts at a step, and how much of it is free."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from weft.models.seq2seq import Seen
from weft.recipe import Variational
from weft.training.annealing import Annealed, share


@pytest.mark.parametrize(
    ("annealing", "expected"),
    [("none", [1.0, 1.0, 1.0, 1.0]), ("linear", [0.01, 0.5, 1.0, 1.0]), ("sigmoid", [0.0028, 0.5, 0.9975, 1.0])],
)
def test_the_weight_comes_up(annealing: str, expected: list[float]) -> None:
    settings = Variational.model_validate({"annealing": annealing, "over": 100})
    assert [share(settings, step) for step in (1, 50, 100, 1000)] == pytest.approx(expected, abs=1e-4)


def test_what_is_free_has_no_gradient() -> None:
    nats = torch.tensor([1.0, 5.0], requires_grad=True)

    def feed(_model: Any, _batch: Any) -> Seen:
        return Seen(torch.zeros(2), None, nats)

    settings = Variational(annealing="linear", over=10, free_bits=2.0)
    counted = Annealed(feed, settings, step=4)(None, None).divergence  # type: ignore[arg-type]
    assert counted is not None
    torch.testing.assert_close(counted.detach(), torch.tensor([0.8, 2.0]))
    counted.sum().backward()
    torch.testing.assert_close(nats.grad, torch.tensor([0.0, 0.4]))
