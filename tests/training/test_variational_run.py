"""Variational autoencoders of text and of images: trained, resumed, looked at; noise on images while they train."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from learning import MODELS
from matplotlib.image import imread
from shapes import CELLS, INPUT, picture, write_idx
from test_resume import check_dying_changes_nothing, quiet

import weft
from weft.cli.main import main
from weft.errors import WeftError
from weft.tasks.reconstruction import decoded, denoised, reconstructed, squared_error
from weft.tasks.vectors import between, positions, prior, said

Write = Callable[..., Path]


def vectorial(recipe: Path, **variational: Any) -> dict[str, Any]:
    """The settings of a recipe whose decoder sees one variational vector."""
    settings: dict[str, Any] = yaml.safe_load(recipe.read_text())
    settings["model"] = MODELS["rnn"] | {
        "context": {"given": "both", "variational": variational},
        "decoder": {"kind": "rnn", "width": 32, "attention": None, "dropout": 0.0},
    }
    settings["data"]["columns"] = {"source": 1, "target": 1}
    return settings


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


def test_text_through_a_drawn_vector(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_file("rnn", steps=12, count=80)
    recipe.write_text(yaml.safe_dump(vectorial(recipe, width=6, weight=0.3, over=8, free_bits=0.5)))
    check_dying_changes_nothing(recipe, monkeypatch, 10)
    runs = recipe.parent / "runs"

    log = [json.loads(line) for line in (runs / "whole" / "log.jsonl").read_text().splitlines()]
    nats = [record["scores"]["divergence"] for record in log if record["event"] == "validation"]
    assert len(nats) == 2 and min(nats) > 0  # of step 8 and of the last

    model = weft.load(runs / "whole")
    lines = ["a b c", "f e"]
    vectors = between(model, *lines, 5)
    assert vectors[[0, -1]].numpy() == pytest.approx(model.vectors(lines), abs=1e-6)
    assert model.vectors(lines).shape == (2, 6)
    ends = said(model, vectors[[0, -1]], max(positions(model, line) for line in lines))
    assert [str(end) for end in ends] == [str(line) for line in model.predict(lines)]

    code, out, _ = run(capsys, "look", runs / "whole", "--between", *lines)
    rows = [line.split("  ") for line in out.splitlines()]
    assert code == 0 and [row[0] for row in rows[:2]] == ["0.000", "0.125"] and len(rows) == 9
    assert rows[0][1] == str(ends[0])
    drawn = [run(capsys, "look", runs / "whole", "--prior", 7, "--max-ratio", 0.05, "--seed", s)[1] for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] and len(drawn[0].splitlines()) == 7
    assert not np.allclose(prior(model, 7, 1), prior(model, 7, 2))
    for wrong, message in [
        (["--between", "a b", ""], "an empty line has no vector"),
        (["--prior", 0], "expected 1 or more"),
        (["--prior", 2, "--out", "lines.png"], "--out is lines.png, but this model makes lines, which are printed"),
        (["--prior", 2, "--noise"], "--noise has no part in --prior, leave it out; it goes with --reconstruct"),
        (["--reconstruct", "a b"], "only pixels gives images back"),
    ]:
        code, _, err = run(capsys, "look", runs / "whole", *wrong)
        assert code == 2 and message in err


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.idx of 60 images, test.idx of 10 others, and a recipe of a variational autoencoder."""
    folder = tmp_path_factory.mktemp("drawn")
    draw = random.Random(1)
    for name, count in (("train.idx", 60), ("test.idx", 10)):
        lights = [[draw.randrange(2) for _ in range(CELLS)] for _ in range(count)]
        write_idx(folder / name, np.stack([picture(one, draw) for one in lights]))
    settings = {
        "out": str(folder / "runs"),
        "data": {"train": str(folder / "train.idx"), "dev_fraction": 0.1},
        "model": {
            "width": 16,
            "input": INPUT,
            "encoder": {"kind": "identity"},
            "context": {"variational": {"over": 50}},
            "decoder": {"kind": "pixels", "vector": 6, "width": 32, "loss": "entropy"},
        },
        "training": {
            "steps": 120, "batch_tokens": 64, "threads": 1, "clip": None,
            "optimizer": {"learning_rate": 0.01}, "schedule": {"warmup": 10},
        },
        "validation": {"every": 60},
    }  # fmt: skip
    (folder / "drawn.yaml").write_text(yaml.safe_dump(settings))
    return folder


def test_images_through_a_drawn_vector(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    shutil.copytree(images, tmp_path / "drawn")
    model = weft.train(tmp_path / "drawn" / "drawn.yaml", f"out={tmp_path}/runs", say=quiet)
    assert isinstance(model, weft.Model)
    log = [json.loads(line) for line in (tmp_path / "runs/drawn/log.jsonl").read_text().splitlines()]
    first, last = (record for record in log if record["event"] == "validation")
    assert last["loss"] < first["loss"]  # nats an image, its divergence among them
    assert 0 < last["scores"]["divergence"] < last["loss"]
    names = [f"{images / 'test.idx'}#{number}" for number in range(1, 11)]
    given, back = reconstructed(model, names)
    assert squared_error(given, back) < 0.5 * squared_error(given, np.broadcast_to(given.mean(0), given.shape))
    found = decoded(model, prior(model, 20, seed=1))
    assert found.shape == (20, *given.shape[1:]) and found.std(0).min() > 0.05
    assert run(capsys, "look", "runs/drawn", "--prior", 12, "--out", "prior.png")[0] == 0
    assert imread("prior.png").shape[0] > 100


def test_noise_is_on_what_goes_in_and_not_on_what_is_wanted(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    recipe = images / "drawn.yaml"
    wanted = ["model.context.variational=null", "model.decoder.loss=squared", "validation.every=120"]
    noise = "data.noise={pixel_noise: 0.1, pixel_drop: 0.3}"
    model = weft.train(recipe, f"out={tmp_path}/runs", *wanted, noise, say=quiet)
    assert isinstance(model, weft.Model)
    names = [f"{images / 'test.idx'}#{number}" for number in range(1, 11)]
    clean, noisy, back = denoised(model, names)
    assert squared_error(clean, noisy) > 0.04
    assert squared_error(clean, back) < 0.5 * squared_error(clean, noisy)
    assert np.array_equal(noisy, denoised(model, names)[1])
    assert run(capsys, "look", "runs/drawn", "--reconstruct", *names, "--noise", "--out", "noise.png")[0] == 0
    assert imread("noise.png").shape[0] > 250  # three rows


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.decoder.loss=squared", "counts in nats, but model.decoder.loss is squared; expected entropy"),
        ("model.context.variational.width=4", "is 4, but the vector of pixels is as wide as"),
        ("model.context.variational.annealing=cosine", "annealing"),
    ],
)
def test_what_does_not_go_together(images: Path, override: str, message: str) -> None:
    with pytest.raises(WeftError, match=message):
        weft.train(images / "drawn.yaml", override, say=quiet)


def test_text_that_is_attended_has_no_one_vector(recipe_file: Write) -> None:
    recipe = recipe_file("rnn")
    for override, message in [
        ("model.context.variational={width: 4}", "it needs model.decoder.attention: null"),
        ("data.noise.pixel_drop=0.1", "data.noise.pixel_drop is for images, but model.input.kind is tokens"),
    ]:
        with pytest.raises(WeftError, match=message):
            weft.train(recipe, override, say=quiet)
