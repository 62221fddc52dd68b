import numpy as np
import pytest
from matplotlib.image import imread

from weft.look.grid import CELL, GAP, draw_rows


def test_rows_stand_under_their_names(tmp_path):
    draw = np.random.default_rng(1)
    rows = {"in": draw.random((6, 1, 8, 8)), "out": draw.random((6, 3, 8, 8))}
    draw_rows(rows, tmp_path / "two.png")
    draw_rows({"in": rows["in"]}, tmp_path / "one.png")
    one, two = (imread(tmp_path / f"{name}.png") for name in ("one", "two"))
    assert one.shape[1] == two.shape[1] == pytest.approx((6 * (CELL + GAP) - GAP + 0.4) * 160, abs=2)
    assert two.shape[0] > one.shape[0] + 160 * CELL
    draw_rows(rows, tmp_path / "two.svg")
    assert "<!-- out -->" in (tmp_path / "two.svg").read_text()
