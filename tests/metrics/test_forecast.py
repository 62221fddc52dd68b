"""Errors of forecasts, summed by row ahead and column."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weft.metrics.forecast import Errors


def test_errors_of_blocks_are_those_of_the_whole() -> None:
    random = np.random.default_rng(1)
    said, right = random.normal(size=(2, 7, 4, 3))
    right[2, 1, 0] = np.nan
    whole, blocks = Errors.none(4, 3, interval=True), Errors.none(4, 3, interval=True)
    whole.add(said, right, (said - 1, said + 1))
    for part in (slice(0, 5), slice(5, 7)):
        blocks.add(said[part], right[part], (said[part] - 1, said[part] + 1))
    error = said - right
    for found in (whole, blocks):
        assert found.mse == pytest.approx(np.nanmean(error**2))
        assert found.mae == pytest.approx(np.nanmean(np.abs(error)))
        assert found.coverage == pytest.approx(np.mean(np.abs(error[~np.isnan(error)]) <= 1))
        np.testing.assert_allclose(found.by_row(), np.nanmean(error**2, (0, 2)))
        assert found.of_column(1).mse == pytest.approx(np.mean(error[..., 1] ** 2))
        assert found.of_rows(1, 3).mae == pytest.approx(np.nanmean(np.abs(error[:, 1:3])))


def test_nothing_to_compare_with_has_no_error() -> None:
    found = Errors.none(2, 1)
    found.add(np.zeros((1, 2, 1)), np.full((1, 2, 1), np.nan))
    assert math.isnan(found.mse)
    assert found.coverage is None
