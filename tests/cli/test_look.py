import json
import warnings

import pytest
from matplotlib.image import imread
from rich.cells import cell_len

from weft.look import canvas


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG") and min(imread(path).shape[:2]) > 100


@pytest.fixture
def run_folder(tmp_path):
    records = [
        {"event": "train", "step": step, "epoch": 0, "loss": 9 / step, "learning_rate": 1e-3, "tokens_per_second": 9e3}
        for step in range(1, 40)
    ]
    scores = {"event": "validation", "step": 39, "loss": 1.0, "scores": {"bleu": 30.0}, "best": True, "samples": []}
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in (*records, scores)))
    return tmp_path


def test_curves_are_drawn_into_the_run_or_where_they_are_wanted(run_weft, run_folder):
    assert run_weft("look", run_folder, "--curves") == (0, f"{run_folder / 'curves.png'}\n", "")
    assert is_picture(run_folder / "curves.png")
    run_weft("look", run_folder, "--curves", run_folder / "other.png")
    run_weft("look", run_folder, "--curves", "--out", run_folder / "third.png")
    assert is_picture(run_folder / "other.png") and is_picture(run_folder / "third.png")


def test_attention_has_a_row_for_each_piece_that_was_said(run_weft, model, tmp_path):
    picture = tmp_path / "attention.png"
    code, out, _ = run_weft("look", model, "--attention", "cat", "--attention", "phone", "--out", picture, "--beam", 1)
    assert code == 0
    _, alone, _ = run_weft("look", model, "--attention", "cat")
    assert out.count(" → ") == 2
    title, _, heads, *rows = alone.rstrip("\n").split("\n")
    word, _, said = title.partition(" → ")
    assert word == "cat"
    assert heads.split() == ["c", "a", "t", "∎"]
    pieces = [row.split()[0] for row in rows]
    assert [piece for piece in pieces if piece not in ("<unk>", "∎")] == said.split()
    assert len({cell_len(row) for row in rows}) == 1
    assert is_picture(picture)


def test_a_line_is_shown_as_it_is(run_weft, model):
    _, out, _ = run_weft("look", model, "--attention", "a:cat:[b]", "--beam", 1)
    assert out.startswith("a:cat:[b] → ")


def test_words_have_no_mark_of_a_space(run_weft, make_model):
    _, out, _ = run_weft("look", make_model(source="word"), "--attention", "a a", "--beam", 1)
    assert out.split("\n")[2].split() == ["a", "a", "∎"]


def test_length_is_drawn(run_weft, model, pairs_file, tmp_path):
    drawn = model / "length.png"
    assert run_weft("look", model, "--length", pairs_file)[:2] == (0, f"{drawn}\n")
    run_weft("look", model, "--length", pairs_file, "--out", tmp_path / "length.png")
    assert is_picture(drawn) and is_picture(tmp_path / "length.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected what to look at: --curves, --attention 'a line', --length pairs.tsv or --forecast"),
        (("--curves",), "log.jsonl: cannot be read as a log of a run"),
        (("--attention", ""), "there is no attention to show for ''"),
        (("--attention", "cat", "--out", "/proc/none/attention.png"), "cannot be written"),
        (("--length", "none.tsv"), "none.tsv: no such file"),
    ],
)
def test_what_is_wrong_is_said(run_weft, model, arguments, message):
    code, _, err = run_weft("look", model, *arguments)
    assert code == 2
    assert message in err


def test_a_run_that_is_not_there(run_weft, tmp_path):
    assert run_weft("look", tmp_path / "none", "--curves") == (2, "", f"weft: {tmp_path / 'none'}: no such run\n")


def test_a_missing_font_is_told_in_one_line(run_weft, model, tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "other_families", lambda: [])
    canvas.warn_of_missing_font.cache_clear()
    with warnings.catch_warnings(action="default"):
        code, _, err = run_weft("look", model, "--attention", "房cat", "--out", tmp_path / "a.png", "--beam", 1)
    assert code == 0
    assert err.startswith("weft: no font on this machine has all characters")
    assert len(err.splitlines()) == 1
