import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from weft.look.canvas import SECOND
from weft.look.overlay import STRONGEST, Overlay, covered, draw_overlays, upsampled


def test_weights_go_in_straight_lines_between_the_middles_of_the_cells():
    assert upsampled(np.array([[0.0, 1.0]]), 2, 8)[0] == pytest.approx([0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1])
    square = upsampled(np.arange(6.0).reshape(2, 3), 2, 3)
    assert square == pytest.approx(np.arange(6.0).reshape(2, 3))


def test_the_colour_covers_where_a_word_looked():
    pixels = np.full((1, 4, 8), 255, np.uint8)
    mixed = covered(pixels, np.array([[0.0, 1.0]]))
    assert mixed.shape == (4, 8, 3)
    assert mixed[:, 0] == pytest.approx(np.ones((4, 3)))
    strongest = (1 - STRONGEST) + STRONGEST * np.array(to_rgb(SECOND))
    assert mixed[:, -1] == pytest.approx(np.broadcast_to(strongest, (4, 3)))
    colour = np.stack([np.full((4, 8), value, np.uint8) for value in (10, 20, 30)])
    assert covered(colour, np.zeros((1, 1)))[0, 0] * 255 == pytest.approx([10, 20, 30])


def test_each_word_has_its_picture(tmp_path):
    draw = np.random.default_rng(1)
    wide = Overlay(draw.integers(0, 256, (1, 8, 64), np.uint8), draw.random((3, 1, 8)), ["one", "two", "three"], "wide")
    square = Overlay(draw.integers(0, 256, (3, 16, 16), np.uint8), draw.random((2, 2, 2)), ["▁a", "b"], "square")
    draw_overlays([wide], tmp_path / "one.png")
    draw_overlays([wide, square], tmp_path / "two.png")
    one, two = (imread(tmp_path / f"{name}.png") for name in ("one", "two"))
    assert two.shape[0] > one.shape[0] + 100
    assert two.shape[1] == one.shape[1]
    draw_overlays([wide, square], tmp_path / "both.svg")
    text = (tmp_path / "both.svg").read_text()
    for shown in ("one", "three", "·a", "wide"):
        assert f"<!-- {shown} -->" in text
    draw_overlays([Overlay(wide.pixels, np.zeros((0, 1, 8)), [])], tmp_path / "silent.png")
    with pytest.raises(ValueError, match="2 rows of weights for 1 words"):
        Overlay(square.pixels, square.weights, ["a"])
