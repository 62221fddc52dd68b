"""Filling gaps: it is learnt from lines alone, goes on exactly where it was killed, and all verbs work with it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from learning import MODELS
from test_resume import check_dying_changes_nothing, quiet

import weft
from weft.cli.main import main
from weft.data.gaps import filled
from weft.errors import WeftError

Run = Callable[..., tuple[int, str, str]]


def recipe_file(folder: Path, **training: Any) -> Path:
    """Lines that go round a circle of letters: what is missing is told by either neighbour."""
    rng, letters = random.Random(3), [*"abcdef"] * 2
    starts = [(rng.randrange(6), rng.randint(3, 6)) for _ in range(200)]
    (folder / "lines.txt").write_text("".join(" ".join(letters[n : n + length]) + "\n" for n, length in starts))
    lines = {"source": None, "target": str(folder / "lines.txt")}
    settings = {
        "name": "cloze",
        "out": str(folder / "runs"),
        "data": {"train": lines, "test": lines, "dev_fraction": 0.2, "gaps": {"count": 2}},
        "vocabulary": {"shared": True, "source": {"kind": "word", "size": 20}},
        "model": {**MODELS["rnn"], "embedding": {"dropout": 0.0}},
        "training": {
            "steps": 100, "batch_tokens": 128, "label_smoothing": 0.0, "threads": 1, "save_every": 4,
            "optimizer": {"learning_rate": 0.02}, "schedule": {"warmup": 10}, **training,
        },
        "validation": {"every": 100, "items": 40, "metric": "gap_accuracy"},
        "search": {"beam": 2},
    }  # fmt: skip
    path = folder / "cloze.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a model that has learnt to go round the circle."""
    folder = tmp_path_factory.mktemp("cloze")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEFT_CACHE", str(folder / "cache"))
        weft.train(recipe_file(folder), say=quiet)
    return folder / "runs" / "cloze"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return run


def test_gaps_are_filled_from_both_sides(learnt: Path) -> None:
    model = weft.load(learnt)
    lines = ["<gap> c d e", "a b <gap> d", "d e <gap>", "a <gap> c d <gap> f", ""]
    found = model.predict(lines, n_best=2)
    assert [prediction.text for prediction in found] == ["b", "c", "f", "b <gap> e", ""]
    assert [prediction.filled for prediction in found] == ["b c d e", "a b c d", "d e f", "a b c d e f", ""]
    other = found[1].alternatives[0]
    assert other.text != "c" and other.filled == filled("a b <gap> d", other.text)


def test_a_line_that_cannot_be_filled_is_told_with_its_number(learnt: Path) -> None:
    model = weft.load(learnt)
    with pytest.raises(WeftError, match=r"^line 2: no <gap> in it, as a word of its own, for the model to fill$"):
        model.predict(["a <gap>", "a b c"])
    with pytest.raises(WeftError, match=r"^line 1: 3 gaps; the model fills at most 2 \(data\.gaps\.count\)$"):
        model.predict(["a <gap> c <gap> e <gap>"])


def test_every_verb_takes_lines_with_gaps(learnt: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a b <gap> d\nc <gap> e f\n")
    assert run("predict", learnt, tmp_path / "lines.txt")[1] == "c\nd\n"
    lines = run("predict", learnt, tmp_path / "lines.txt", "--fill", "--n-best", 2)[1].splitlines()
    assert [line.split("\t")[0] for line in lines] == ["a b c d", "c d e f"]
    assert all(len(line.split("\t")) == 2 for line in lines)
    record = json.loads(run("predict", learnt, tmp_path / "lines.txt", "--jsonl")[1].splitlines()[0])
    assert (record["text"], record["filled"]) == ("c", "a b c d")
    (tmp_path / "whole.txt").write_text("d e f a b\nb c d e f a\n" * 10)
    (tmp_path / "gaps.tsv").write_text("d <gap> f a\te\n")
    for files in ((), ("--target", tmp_path / "whole.txt"), (tmp_path / "gaps.tsv",)):
        code, out, _ = run("evaluate", learnt, *files)
        accuracy = float(out.split("gap accuracy ")[1].split()[0])
        assert code == 0 and "exact match" in out and accuracy > 90
        code, out, err = run("evaluate", learnt, *files, "--score")
        assert code == 0 and float(err.rsplit(maxsplit=1)[1]) < 1.5
        assert all(line.split("\t")[3].count("<gap>") in (1, 2) for line in out.splitlines())


def test_dying_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file(tmp_path, steps=10, average=0)
    check_dying_changes_nothing(recipe, monkeypatch, 7)
