"""The frame of a window, missing values, patches and losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from weft.nn.values import ValuesInput, carried, framed, loss_of

NAN = math.nan


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[None, :, None]


def test_a_missing_value_is_the_last_one_that_was_there() -> None:
    assert carried(column(NAN, 2, NAN, NAN, 5))[0, 1:, 0].tolist() == [2, 2, 2, 5]
    assert math.isnan(carried(column(NAN, 2))[0, 0, 0])


@pytest.mark.parametrize(
    ("kind", "level", "scale"),
    [("none", 0, 1), ("last", 4, 1), ("mean", 3, 1), ("standard", 3, math.sqrt(2 / 3 + 1e-5))],
)
def test_the_frame_is_of_what_is_there(kind: str, level: float, scale: float) -> None:
    frame = framed(column(2, 3, NAN, 4, NAN), kind)
    assert frame.level.item() == pytest.approx(level)
    assert frame.scale.item() == pytest.approx(scale)
    there = column(1, 7)
    torch.testing.assert_close(frame.back(frame.into(there)[..., None])[..., 0], there)


@pytest.mark.parametrize("kind", ["none", "last", "mean", "standard"])
def test_a_window_without_a_value_has_a_frame_all_the_same(kind: str) -> None:
    frame = framed(column(NAN, NAN), kind)
    assert math.isfinite(frame.level.item())
    assert frame.scale.item() > 0


@pytest.mark.parametrize(
    ("patch", "step", "rows", "positions"), [(1, 1, 6, 6), (3, 3, 6, 2), (4, 2, 7, 3), (6, 6, 6, 1)]
)
def test_the_last_patch_ends_with_the_window(patch: int, step: int, rows: int, positions: int) -> None:
    end = ValuesInput(2, 5, patch, step, 0.0).double()
    x = torch.randn(3, rows, 2, dtype=torch.float64)
    found = end(x)
    assert end.positions(rows) == positions
    assert found.shape == (3, positions, 5)
    last = torch.cat([x.transpose(1, 2)[..., -patch:]], -1).flatten(1)
    torch.testing.assert_close(found[:, -1], end.projection(last))


@pytest.mark.parametrize("kind", ["mse", "mae", "huber", "quantile"])
def test_losses_are_sums_over_what_is_there(kind: str) -> None:
    levels = [0.1, 0.5, 0.9] if kind == "quantile" else [0.5]
    said = torch.randn(4, 3, len(levels), dtype=torch.float64) * 2
    gold = torch.randn(4, 3, dtype=torch.float64)
    gold[1, 2] = NAN
    total, count = loss_of(kind, said, gold, levels, 0.7)
    wanted = 0.0
    for row, right in np.ndenumerate(gold.numpy()):
        errors = right - said[row].numpy()
        if math.isnan(right):
            continue
        if kind == "quantile":
            wanted += np.mean(
                [level * e if e > 0 else (level - 1) * e for level, e in zip(levels, errors, strict=True)]
            )
        else:
            size = abs(errors[0])
            huber = size**2 / 2 if size <= 0.7 else 0.7 * (size - 0.35)
            wanted += {"mse": size**2, "mae": size, "huber": huber}[kind]
    assert count == 11
    assert float(total) == pytest.approx(wanted)
