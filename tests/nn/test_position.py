from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from weft.errors import WeftError
from weft.nn.position import Learned, Relative, Rotary, Sinusoidal, added, sinusoids


def test_is_the_papers_formula() -> None:
    table = sinusoids(30, 8)
    for position in (0, 1, 29):
        for i in range(4):
            angle = position / 10000 ** (2 * i / 8)
            assert math.isclose(table[position, 2 * i], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(table[position, 2 * i + 1], math.cos(angle), abs_tol=1e-6)


def test_an_odd_width_ends_with_a_sine() -> None:
    table = sinusoids(5, 7)
    assert math.isclose(table[4, 5], math.cos(4 / 10000 ** (4 / 7)), abs_tol=1e-6)
    assert math.isclose(table[4, 6], math.sin(4 / 10000 ** (6 / 7)), abs_tol=1e-6)


def test_no_length_is_too_long() -> None:
    position = Sinusoidal(4)
    x = torch.zeros(1, 2000, 4)
    whole = position(x)
    torch.testing.assert_close(whole[0], sinusoids(2000, 4))
    torch.testing.assert_close(position(x[:, :5], start=1990)[0], whole[0, 1990:1995])


def test_a_table_that_another_thread_replaces_is_not_missed() -> None:
    class Replaced(Sinusoidal):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "table" and isinstance(value, torch.Tensor):
                super().__setattr__(name, value[:600])

    torch.testing.assert_close(Replaced(4).rows(1000, 1100), sinusoids(1100, 4)[1000:])


@pytest.mark.parametrize("position", [Sinusoidal(4), Rotary(4)])
def test_what_a_search_made_longer_is_trained_with(position: torch.nn.Module) -> None:
    with torch.inference_mode():
        position(torch.zeros(1, 1, 600, 4))
    x = torch.randn(1, 1, 600, 4, requires_grad=True)
    position(x).sum().backward()
    assert x.grad is not None


def test_scale_is_of_designed_positions() -> None:
    whole = added("sinusoidal", 6, 700, "model.encoder")
    scaled = added("sinusoidal", 6, 700, "model.encoder", scale=0.25)
    x = torch.randn(2, 600, 6)
    torch.testing.assert_close(scaled(x) - x, 0.25 * (whole(x) - x), atol=1e-6, rtol=0)
    torch.testing.assert_close(scaled.rows(590, 600), 0.25 * whole.rows(590, 600))


def test_none_rotary_and_relative_add_nothing() -> None:
    x = torch.randn(2, 3, 4)
    assert all(added(kind, 4, 5, "model.encoder")(x, 2) is x for kind in ("none", "rotary", "relative"))


def test_learned_positions_end() -> None:
    position = Learned(4, 6, "model.decoder")
    assert position(torch.zeros(1, 2, 4), start=4).shape == (1, 2, 4)
    with pytest.raises(WeftError, match=r"model.decoder.positions is 6, but a sentence has 7 tokens"):
        position(torch.zeros(1, 1, 4), start=6)


def test_learned_is_as_wide_as_embeddings() -> None:
    assert abs(Learned(64, 1000, "model.encoder").table.std().item() - 1 / 8) < 0.002


def test_rotary_is_su() -> None:
    x = torch.randn(2, 3, 5, 8).double()
    turned = Rotary(8)(x, start=7).numpy()
    for place in range(5):
        for i in range(4):
            angle = (7 + place) * 10000 ** (-2 * i / 8)
            matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            pair = slice(2 * i, 2 * i + 2)
            np.testing.assert_allclose(turned[..., place, pair], x[..., place, pair].numpy() @ matrix.T, atol=1e-6)


def test_rotary_scores_tell_distance_only() -> None:
    rotary = Rotary(8).double()
    q, k = torch.randn(1, 1, 1, 8).double(), torch.randn(1, 1, 1, 8).double()
    near = (rotary(q, 3) * rotary(k, 1)).sum()
    far = (rotary(q, 400) * rotary(k, 398)).sum()
    torch.testing.assert_close(near, far, atol=1e-5, rtol=0)
    assert (near - (rotary(q, 3) * rotary(k, 2)).sum()).abs() > 1e-3


def test_relative_places_are_clipped() -> None:
    places = Relative(2, 4).places(2, 6)
    assert places.tolist() == [[0, 0, 0, 1, 2, 3], [0, 0, 0, 0, 1, 2]]
