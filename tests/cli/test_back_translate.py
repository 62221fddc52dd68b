"""weft back-translate: pairs of text in the target language alone, all of them or none under the final name."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pytest

import weft
import weft.recipe
from weft.cli import back_translate
from weft.data.vocabulary import Vocabulary
from weft.tasks import text

LINES = ["cat", "a", "tomato", "phone"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lines_file(tmp_path: Path) -> Path:
    path = tmp_path / "mono.txt"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return path


def expected(model: Path, **search: Any) -> list[tuple[str, str]]:
    sources = [str(prediction) for prediction in weft.load(model).predict(LINES, **search)]
    return list(zip(sources, LINES, strict=True))


def pairs(told: str) -> list[tuple[str, ...]]:
    return [tuple(line.split("\t")) for line in told.removesuffix("\n").split("\n")]


def test_each_line_gets_the_models_output_as_its_source(
    run_weft: Run, model: Path, lines_file: Path, tmp_path: Path
) -> None:
    code, out, told = run_weft("back-translate", model, lines_file)
    assert (code, pairs(out)) == (0, expected(model))
    assert told.startswith("weft: 4 pairs; ") and "cut off at the length cap" in told
    assert run_weft("back-translate", model, lines_file, "-o", "-")[1] == out
    assert run_weft("back-translate", model, lines_file, "-o", tmp_path / "pairs.tsv")[:2] == (0, "")
    assert (tmp_path / "pairs.tsv").read_text() == out
    _, greedy, _ = run_weft("back-translate", model, lines_file, "--beam", 1)
    assert pairs(greedy) == expected(model, beam=1)


@pytest.mark.parametrize("name", ["mono.txt.gz", "mono.txt.zst", "-"])
def test_lines_come_from_whatever_holds_lines(
    run_weft: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    content = "".join(f"{line}\n" for line in LINES).encode()
    if name == "-":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    else:
        packed = (
            gzip.compress(content) if name.endswith("gz") else pyarrow.Codec("zstd").compress(content, asbytes=True)
        )
        (tmp_path / name).write_bytes(packed)
        monkeypatch.chdir(tmp_path)
    assert pairs(run_weft("back-translate", model, name)[1]) == expected(model)


def test_a_tag_stands_before_each_source(run_weft: Run, model: Path, lines_file: Path) -> None:
    _, out, _ = run_weft("back-translate", model, lines_file, "--tag", "<BT>")
    assert pairs(out) == [(f"<BT> {source}", target) for source, target in expected(model)]


def test_lines_that_cannot_be_pairs_are_left_out_and_counted(run_weft: Run, model: Path, lines_file: Path) -> None:
    lines_file.write_text("cat\n\n  \na\tb\nphone\n")
    _, out, told = run_weft("back-translate", model, lines_file)
    assert [pair[1] for pair in pairs(out)] == ["cat", "phone"]
    assert "2 pairs; 3 lines left out: 2 where the line or its output is empty, 1 with a tab" in told


def test_samples_are_asked_for_with_their_seed(
    run_weft: Run, model: Path, lines_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def stream(self: weft.Model, lines: Iterator[str], **search: Any) -> Iterator[text.Prediction]:
        asked.append(search)
        return (text.Prediction(line.upper(), 0.0, [], [], "end") for line in lines)

    monkeypatch.setattr(weft.Model, "stream", stream)
    assert pairs(run_weft("back-translate", model, lines_file, "--sample", "--seed", 7)[1])[0] == ("CAT", "cat")
    run_weft("back-translate", model, lines_file, "--sample")
    run_weft("back-translate", model, lines_file, "--beam", 3)
    run_weft("back-translate", model, lines_file)
    sample = {"kind": "sample"}
    assert asked == [{**sample, "seed": 7}, sample, {"kind": "beam", "beam": 3}, {}]


def test_a_model_of_both_directions_goes_backward(model: Path) -> None:
    asked: list[dict[str, Any]] = []

    class Both:
        class recipe:
            class data:
                direction = "both"

        def stream(self, lines: Iterator[str], **search: Any) -> Iterator[text.Prediction]:
            asked.append(search)
            return (text.Prediction(line, 0.0, [], [], "end") for line in lines)

    assert list(back_translate.Pairs(["a", "b"]).of(Both(), beam=2)) == [("a", "a"), ("b", "b")]  # type: ignore[arg-type]
    assert asked == [{"beam": 2, "direction": "backward"}]


def test_memory_holds_only_what_the_model_has_read_ahead(model: Path) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "cat"

    made = back_translate.Pairs(endless()).of(weft.load(model), beam=1, max_ratio=1.0, max_extra=0, batch_tokens=99_999)
    assert next(made)[1] == "cat"


def test_what_dies_on_the_way_leaves_nothing_under_the_name(
    run_weft: Run, model: Path, lines_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "pairs.tsv"
    out.parent.mkdir()
    out.write_text("before\n")
    lines_file.write_bytes(b"cat\n\xff\n")
    code, _, told = run_weft("back-translate", model, lines_file, "-o", out)
    assert code == 2 and "mono.txt:2: not UTF-8" in told
    assert out.read_text() == "before\n" and os.listdir(out.parent) == ["pairs.tsv"]  # noqa: PTH208


def test_a_model_that_cannot_read_the_text_says_so(run_weft: Run, model: Path, lines_file: Path) -> None:
    lines_file.write_text("F OW N\nK AE T\n")
    code, _, told = run_weft("back-translate", model, lines_file)
    doubt, pairs_told = told.splitlines()
    assert code == 0
    assert doubt == (
        f"weft: {model} looks like a model of the other direction: the vocabulary that it reads with has the lines in "
        "2 tokens, 2 of them unknown, the one that it writes with in 6, 0 of them unknown; expected a model that "
        "reads these lines"
    )
    assert pairs_told.endswith("100 % of what was read is unknown to the model: 2 of 2 tokens")


def test_text_of_neither_side_does_not_speak_for_the_other_direction(
    run_weft: Run, model: Path, lines_file: Path
) -> None:
    lines_file.write_text("ÄÖÜ\n")
    assert run_weft("back-translate", model, lines_file)[2].startswith("weft: 1 pair; ")


def test_a_file_called_as_of_the_language_that_is_written_is_told(run_weft: Run, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    recipe = weft.recipe.load(folder / "recipe.yaml").model_copy(
        update={"source_language": "en", "target_language": "ipa"}
    )
    (folder / "recipe.yaml").write_text(weft.recipe.dump(recipe))
    for name, doubted in (("mono.ipa", True), ("mono.en", False), ("mono.txt", False)):
        (tmp_path / name).write_text("cat\n")
        told = run_weft("back-translate", folder, tmp_path / name)[2]
        assert ("it reads en and writes ipa, says its recipe, and" in told) == doubted


def test_more_pieces_than_the_other_side_needs_speak_for_the_other_direction(tmp_path: Path) -> None:
    sides = {"de": "ein kleiner hund läuft schnell", "en": "a small dog is running fast"}
    settings = weft.recipe.Vocabulary(kind="bpe", size=400)
    reads, writes = (
        Vocabulary.learn([line] * 20, settings, "identity", tmp_path / f"{name}.model") for name, line in sides.items()
    )
    recipe = weft.recipe.checked({"data": {"train": "nowhere.tsv"}}, "test")
    model: Any = SimpleNamespace(recipe=recipe, source=reads, target=writes)
    assert back_translate.doubted_text([sides["de"]], model) == ""
    assert "0 of them unknown, the one that it writes with" in back_translate.doubted_text([sides["en"]], model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "missing.txt: no such file"),
        (["mono.txt", "-o", "nowhere/pairs.tsv"], "nowhere/pairs.tsv: cannot be written: No such file or directory"),
        (
            ["mono.txt", "-o", "pairs.tsv.gz"],
            "pairs.tsv.gz: what is written are tab-separated pairs; name it pairs.tsv",
        ),
        (["mono.txt", "--tag", "two words"], "--tag is 'two words'; expected one word, such as '[BT]'"),
        (["mono.txt", "--tag", ""], "--tag is empty; expected TOKEN"),
        (["mono.txt", "--seed", "3"], "--seed is 3, but nothing is drawn without --sample"),
        (["mono.txt", "--beam", "0"], "search.beam is 0"),
    ],
)
def test_bad_input_is_told(
    run_weft: Run, model: Path, lines_file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(lines_file.parent)
    code, out, told = run_weft("back-translate", model, *arguments)
    assert (code, out) == (2, "")
    assert told.startswith(f"weft: {message}")
    assert [path.name for path in lines_file.parent.iterdir() if path.name.endswith(".part")] == []
