"""An autoencoder of images is trained, looked at and measured by the same verbs."""

import random
import re

import numpy as np
import pytest
import yaml
from matplotlib.image import imread
from shapes import CELL, CELLS, INPUT, picture, write_idx

import weft
from weft.cli.main import main
from weft.errors import WeftError
from weft.tasks.reconstruction import decoded, reconstructed, squared_error
from weft.tasks.vectors import between


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A folder with IDX files of 60 images to train on and 10 others, and the run runs/through."""
    folder = tmp_path_factory.mktemp("through")
    draw = random.Random(1)
    for name, count in (("train.idx", 60), ("test.idx", 10)):
        lights = [[draw.randrange(2) for _ in range(CELLS)] for _ in range(count)]
        write_idx(folder / name, np.stack([picture(one, draw) for one in lights]))
    settings = {
        "out": str(folder / "runs"),
        "data": {"train": str(folder / "train.idx"), "test": str(folder / "test.idx"), "dev_fraction": 0.1},
        "model": {
            "width": 16,
            "input": INPUT,
            "encoder": {"kind": "identity"},
            "decoder": {"kind": "pixels", "vector": 6, "width": 32},
        },
        "training": {
            "steps": 150, "batch_tokens": 64, "threads": 1,
            "optimizer": {"learning_rate": 0.01}, "schedule": {"warmup": 10},
        },
        "validation": {"every": 150},
    }  # fmt: skip
    (folder / "through.yaml").write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEFT_CACHE", str(folder / "cache"))
        said = []
        weft.train(folder / "through.yaml", say=said.append)
    assert said[-1].endswith(f"Use it: weft look {folder}/runs/through --reconstruct IMAGE")
    return folder


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


def test_images_come_back_nearer_than_their_mean(learnt):
    model = weft.load(learnt / "runs/through")
    names = [f"{learnt / 'test.idx'}#{number}" for number in range(1, 11)]
    images, back = reconstructed(model, names)
    assert images.shape == back.shape == (10, 1, CELL, CELL * CELLS)
    mean = np.broadcast_to(images.mean(0), images.shape)
    assert squared_error(images, back) < 0.1 * squared_error(images, mean)
    row = decoded(model, between(model, names[0], names[1], 5))
    assert row[[0, -1]] == pytest.approx(back[:2], abs=1e-5)
    assert model.vectors(names).shape == (10, 6)


def test_verbs(learnt, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, test = learnt / "runs/through", learnt / "test.idx"
    code, out, _ = run(capsys, "evaluate", folder)
    assert code == 0
    error = float(re.fullmatch(r"squared error (0\.\d+) of values from 0 to 1\n10 images\n", out)[1])
    model = weft.load(folder)
    names = [f"{test}#{number}" for number in range(1, 11)]
    assert error == pytest.approx(squared_error(*reconstructed(model, names)), abs=1e-5)
    assert run(capsys, "look", folder, "--reconstruct", f"{test}#1", f"{test}#2", "--out", "grid.png")[0] == 0
    assert run(capsys, "look", folder, "--between", f"{test}#1", f"{test}#2", "--out", "row.png")[0] == 0
    assert min(imread("grid.png").shape[:2]) > 100
    assert imread("row.png").shape[1] > imread("grid.png").shape[1]
    (tmp_path / "lines.txt").write_text(f"{test}#3\n")
    code, _, err = run(capsys, "predict", folder, "lines.txt")
    assert (code, err) == (2, "weft: an autoencoder says nothing: weft look --reconstruct, or weft predict --vector\n")
    assert run(capsys, "predict", folder, "lines.txt", "--vector", "one.npy")[0] == 0
    assert np.load("one.npy")[0] == pytest.approx(model.vectors([f"{test}#3"])[0])
    for option, *value in (["--beam", 3], ["--confusion", "a.png"], ["--several-references"], ["--with", folder]):
        code, _, err = run(capsys, "evaluate", folder, option, *value)
        assert code == 2 and f"{option} has no part in it" in err
    (tmp_path / "names.tsv").write_text(f"{test}#3\n\nqqq\n")
    code, _, err = run(capsys, "evaluate", folder, "names.tsv")
    assert (code, err) == (2, "weft: names.tsv:3: qqq: no such file\n")
    code, _, err = run(capsys, "look", folder, "--length", test)
    assert code == 2 and "there is no score to draw by length" in err
    code, _, err = run(capsys, "evaluate", folder, test, "--score")
    assert code == 2 and "an autoencoder says nothing" in err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.input={kind: tokens}", "it needs model.input.kind: image"),
        ("training.feeding.kind=free_running", "training.feeding.kind is for models that say tokens"),
        ("start.decoder=runs/other", "start.decoder is for models that say tokens"),
        ("validation.metrics=[exact_match]", "an autoencoder is validated by its loss"),
    ],
)
def test_what_it_does_not_have(learnt, override, message):
    with pytest.raises(WeftError, match=message):
        weft.train(learnt / "through.yaml", "name=other", override, say=lambda line: None)
