import json
import re
import sys
import warnings

import numpy as np
import pytest
from matplotlib.image import imread
from rich.cells import cell_len

from weft.cli.evaluate import check_picture
from weft.errors import WeftError
from weft.look import canvas
from weft.look.attention import Example, draw, draw_grid, in_terminal
from weft.look.canvas import DOTS_PER_INCH, SHADES, fonts_for, tidy
from weft.look.confusion import draw_confusion
from weft.look.curves import draw_curves, draw_loss, read_log
from weft.look.forecast import Drawn, draw_forecasts
from weft.look.grid import draw_rows
from weft.look.length import draw_length
from weft.look.overlay import draw_overlays
from weft.metrics.breakdown import Bucket
from weft.metrics.score import Score

SOURCE, TARGET = [*"PHONE", "</s>"], ["F", "OW", "N", "</s>"]


def attending(row, column, shape=(4, 6)):
    weights = np.zeros(shape)
    weights[row, column] = 1.0
    return weights


def cells_of_colour(path, shade):
    """(y, x) of the pixels of one colour of the map, in a picture."""
    pixels = np.rint(imread(path)[..., :3] * 255).astype(int)
    wanted = [int(shade[place : place + 2], 16) for place in (1, 3, 5)]
    return np.argwhere(np.abs(pixels - wanted).max(-1) <= 1)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 4), (3, 5), (1, 0)])
def test_the_darkest_cell_is_where_the_weight_is(tmp_path, row, column):
    path = tmp_path / "attention.png"
    draw(attending(row, column), SOURCE, TARGET, path)
    dark, light = cells_of_colour(path, SHADES[-1]), cells_of_colour(path, SHADES[0])
    key = light[:, 0].max()  # the scale below the matrix begins with the lightest shade, and ends with the darkest
    both = np.concatenate([dark, light])
    matrix = both[both[:, 0] < key - DOTS_PER_INCH * 0.3]
    top, left = matrix.min(0)
    bottom, right = matrix.max(0) + 1
    y, x = np.median(dark[dark[:, 0] < bottom], axis=0)
    assert int((y - top) / (bottom - top) * 4) == row
    assert int((x - left) / (right - left) * 6) == column


def test_a_longer_target_makes_a_taller_picture(tmp_path):
    draw(np.eye(3, 6), SOURCE, TARGET[:3], tmp_path / "short.png")
    draw(np.eye(13, 6), SOURCE, ["F"] * 13, tmp_path / "long.png")
    short, long = imread(tmp_path / "short.png"), imread(tmp_path / "long.png")
    assert long.shape[0] - short.shape[0] == pytest.approx(10 * 0.36 * DOTS_PER_INCH, abs=3)
    assert long.shape[1] == pytest.approx(short.shape[1], abs=60)


def test_long_matrices_stay_within_bounds(tmp_path):
    draw(np.eye(300, 200), ["▁piece"] * 200, ["x"] * 300, tmp_path / "huge.png")
    assert max(imread(tmp_path / "huge.png").shape) < 18 * DOTS_PER_INCH


def test_a_grid_sets_matrices_in_rows(tmp_path):
    example = Example(np.eye(4, 6), SOURCE, TARGET, "phone")
    draw_grid([example], tmp_path / "one.png")
    draw_grid([example] * 2, tmp_path / "two.png")
    draw_grid([example] * 12, tmp_path / "twelve.png")
    one, two, twelve = (imread(tmp_path / f"{name}.png").shape for name in ("one", "two", "twelve"))
    assert two[0] == one[0] and two[1] > 1.7 * one[1]
    assert twelve[0] > 1.7 * one[0] and twelve[1] <= 16 * DOTS_PER_INCH


def test_dollars_and_backslashes_are_drawn_as_they_are(tmp_path):
    draw(np.eye(2), ["$x_$", "\\frac"], ["$", "{}"], tmp_path / "attention.svg", "5 $ and 6 $")
    assert (tmp_path / "attention.svg").read_text().startswith("<?xml")


def test_names_of_labels_columns_and_images_are_drawn_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "other_families", lambda: [])
    canvas.warn_of_missing_font.cache_clear()
    drawn = Drawn("in $\\q$ 温", np.zeros(8), None, np.zeros(4), None)
    with warnings.catch_warnings(record=True, action="always") as told:
        draw_confusion(["$\\q$", "名詞"], [[1, 2], [3, 4]], tmp_path / "confusion.svg")
        draw_forecasts([[drawn]], tmp_path / "forecast.svg")
        draw_rows({"from $\\q$ to 犬": np.zeros((2, 1, 4, 4))}, tmp_path / "rows.svg")
    assert [str(warning.message)[:7] for warning in told] == ["no font"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_long_title_makes_no_wider_picture(tmp_path):
    draw(np.eye(2), "ab", "cd", tmp_path / "attention.png", "long " * 1000)
    assert imread(tmp_path / "attention.png").shape[1] < 18 * DOTS_PER_INCH


def test_weights_that_do_not_fit_the_pieces_are_refused(tmp_path):
    with pytest.raises(ValueError, match="target by source"):
        draw(np.eye(3), SOURCE, TARGET, tmp_path / "attention.png")


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(WeftError, match=r"ends in \.png"):
        draw(np.eye(2), "ab", "cd", tmp_path / "attention.gif")


def test_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(WeftError, match=r"pip install 'weft\[look\]'"):
        draw(np.eye(2), "ab", "cd", tmp_path / "attention.png")
    with pytest.raises(WeftError, match="pictures need matplotlib"):
        draw_confusion(["a"], [[1]], tmp_path / "confusion.png")
    with pytest.raises(WeftError, match="pictures need matplotlib"):
        draw_overlays([], tmp_path / "overlay.png")
    with pytest.raises(WeftError, match="pictures need matplotlib"):
        check_picture(tmp_path / "length.png")


def test_a_missing_font_is_warned_of_once(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(canvas, "other_families", lambda: [])
    canvas.warn_of_missing_font.cache_clear()
    draw(np.eye(2), ["房", "子"], ["a", "house"], tmp_path / "attention.png")
    draw(np.eye(2), ["房", "子"], ["a", "house"], tmp_path / "attention.png")
    assert [str(warning.message)[:7] for warning in recwarn.list] == ["no font"]


def test_a_font_that_has_the_characters_is_found(monkeypatch):
    monkeypatch.setattr(canvas, "other_families", lambda: ["Latin", "Chinese", "Others"])
    have = {"DejaVu Sans": "abc", "Latin": "abcé", "Chinese": "房子", "Others": "子é"}
    monkeypatch.setattr(canvas, "characters_of", lambda family: frozenset(map(ord, have[family])))
    assert fonts_for(["abc"]) == ["DejaVu Sans"]
    assert fonts_for(["a房", "子"]) == ["DejaVu Sans", "Chinese"]


def test_pieces_are_shown_tidily():
    assert [tidy(piece) for piece in ("▁the", "▁", "a\x1b[31m", "x")] == ["·the", "␣", "a\ufffd[31m", "x"]
    text = ("«\xa0mot\u202f»", "一\u3000二", "می\u200cخواهم", "a\u202eb", "", " ")
    assert [tidy(one) for one in text] == ["« mot »", "一 二", "می\u200cخواهم", "a\ufffdb", "", " "]
    assert [tidy(alone) for alone in ("\xa0", "\u200c")] == ["␣", "\ufffd"]


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        (SOURCE, TARGET),
        (["▁Ich", "▁sehe", "▁das", "▁Donaudampfschiff", "."], ["▁I", "▁see", "."]),
        (["昨日", "、", "川", "e\u0301te\u0301", "longer"], ["▁yesterday", "川", "a\u0301"]),
        (["x"], []),
    ],
)
def test_terminal_lines_are_equally_wide(source, target, colour):
    text = in_terminal(np.ones((len(target), len(source))), source, target, colour)
    lines = re.sub("\x1b\\[[0-9;]*m", "", text).split("\n")
    assert len({cell_len(line) for line in lines}) == 1
    assert ("\x1b" in text) == (colour and bool(target))


def test_terminal_shows_the_weight_under_its_head():
    heads, *rows = in_terminal(attending(1, 2), SOURCE, TARGET, colour=False).split("\n")
    assert [line.count("█") for line in rows] == [0, 5, 0, 0]
    assert rows[1].startswith("  OW ")
    assert rows[1][heads.index("O")] == "█"
    assert "48;2;228;232;255" in in_terminal(attending(1, 2), SOURCE, TARGET, colour=True).split("\n")[2]


def written(path, *records, tail=""):
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail)
    return path


def train(step, loss=1.0):
    return {
        "event": "train", "step": step, "epoch": 1, "loss": loss, "learning_rate": 1e-3, "tokens_per_second": 900.0,
        "gradient_norm": 1.0, "seconds": 1.0,
    }  # fmt: skip


def validation(step, best=True, **scores):
    return {"event": "validation", "step": step, "loss": 2.0, "scores": scores, "best": best, "samples": []}


def test_what_a_resumed_run_did_again_is_left_out(tmp_path):
    start, resume = {"event": "start", "step": 0, "time": "2026-01-01T00:00:00"}, {"event": "resume", "step": 2}
    path = written(
        tmp_path / "log.jsonl", start, train(1), train(2), validation(2), train(3, 9.0), validation(4), resume, train(3)
    )
    assert read_log(path) == [start, train(1), train(2), validation(2), resume, train(3)]


def test_cut_lines_are_left_out_wherever_a_run_was_killed(tmp_path):
    path = written(tmp_path / "log.jsonl", train(1), tail='{"event": "tra\n{"event": "resume", "step": 1}\n{"ev')
    assert [record["event"] for record in read_log(path)] == ["train", "resume"]


def test_another_file_is_no_log(tmp_path):
    path = written(tmp_path / "recipe.yaml", train(1), tail="data:\n  train: x\n")
    with pytest.raises(WeftError, match=r"recipe\.yaml:2: not a record"):
        read_log(path)
    with pytest.raises(WeftError, match="No such file"):
        read_log(tmp_path / "none.jsonl")


def test_curves_grow_with_the_metrics(tmp_path):
    log = [*map(train, range(1, 60)), validation(30, bleu=3.0), {**train(60), "loss": None}]
    draw_curves(log, tmp_path / "one.png")
    draw_curves([*log, validation(60, False, chrf=9.0, ter=80.0, bleu=3.0)], tmp_path / "three.png")
    one, three = imread(tmp_path / "one.png"), imread(tmp_path / "three.png")
    assert three.shape[0] * 2 == one.shape[0] * 3
    assert three.shape[1] == one.shape[1]
    draw_curves([train(1)], tmp_path / "early.svg")
    with pytest.raises(WeftError, match="no step of training yet"):
        draw_curves([{"event": "start", "step": 0}], tmp_path / "none.png")


def test_length_picture_says_the_numbers(tmp_path):
    score = Score("unit_error_rate", 12.5, False, "")
    buckets = [Bucket(1, 5, 1200, score), Bucket(6, None, 30, score)]
    draw_length(buckets, tmp_path / "length.svg")
    text = (tmp_path / "length.svg").read_text()
    for shown in (
        "12.5",
        "1,200",
        "30",
        "1–5",
        "6+",
        "source length, words",
        "unit error rate by source length, lower is better",
    ):
        assert f"<!-- {shown} -->" in text
    draw_length([Bucket(1, 1, 3, Score("bleu", 100.0, True, ""), order=1)], tmp_path / "short.svg", unit="characters")
    for shown in ("BLEU-1", "source length, characters"):
        assert f"<!-- {shown} -->" in (tmp_path / "short.svg").read_text()
    with pytest.raises(WeftError, match="no items"):
        draw_length([], tmp_path / "none.png")


def test_no_marker_is_cut_at_an_edge(tmp_path):
    draw_length([Bucket(1, 1, 3, Score("bleu", 0.0, True, ""))], tmp_path / "length.svg")
    draw_curves([train(1), train(2), validation(0, False, bleu=0.0), validation(2, bleu=3.0)], tmp_path / "curves.svg")
    for name in ("length.svg", "curves.svg"):
        assert not re.search(r'<g clip-path="[^"]*">\s*<use', (tmp_path / name).read_text())


def test_a_font_is_found_that_was_installed_after_matplotlib_listed_them(monkeypatch):
    from matplotlib import font_manager

    fonts = font_manager.fontManager
    (installed,) = (font.fname for font in fonts.ttflist if font.name == "cmr10")
    monkeypatch.setattr(fonts, "ttflist", [font for font in fonts.ttflist if font.name != "cmr10"])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [installed])
    canvas.other_families.cache_clear()
    assert "cmr10" in canvas.other_families()
    canvas.other_families.cache_clear()


def test_the_legend_of_a_loss_that_goes_up_hides_none_of_it():
    figure = canvas.new_figure(6, 3)
    axes = figure.add_subplot()
    draw_loss(axes, [train(1), train(2)], [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 9.0}])
    figure.draw_without_rendering()
    legend = axes.get_legend().get_window_extent()
    assert legend.y0 >= axes.get_window_extent().y1
    assert legend.x0 > axes._left_title.get_window_extent().x1
