"""Captions of small images: they are learnt, a run that was stopped goes on to the same weights, and all verbs work."""

import json
import re
from pathlib import Path

import pytest
import yaml
from matplotlib.image import imread
from shapes import SMALL, write_pictures

import weft
from weft.cli.main import main
from weft.errors import WeftError
from weft.training.trainer import Trainer


def quiet(_line):
    pass


def recipe_file(folder, captions, **training):
    settings = {
        "out": str(folder / "runs"),
        "data": {"train": str(captions), "dev_fraction": 0.1},
        "vocabulary": {"target": {"kind": "word", "size": 10}},
        "model": SMALL,
        "training": {
            "steps": 160, "batch_tokens": 64, "label_smoothing": 0.0, "threads": 1, "save_every": 5,
            "optimizer": {"learning_rate": 0.01}, "schedule": {"warmup": 10}, **training,
        },
        "validation": {"every": 160, "metrics": ["exact_match"]},
        "search": {"beam": 1},
    }  # fmt: skip
    path = folder / "pictures.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A folder with captions.tsv of 80 images, test/captions.tsv of 20 others, and runs/pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEFT_CACHE", str(folder / "cache"))
        weft.train(recipe_file(folder, write_pictures(folder, 80)), say=quiet)
    write_pictures(folder / "test", 20, seed=2)
    return folder


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


def expected(folder):
    rows = [line.split("\t") for line in (folder / "captions.tsv").read_text().splitlines()]
    return [str(folder / name) for name, _ in rows], [caption for _, caption in rows]


def test_new_images_are_captioned_rightly(learnt):
    names, captions = expected(learnt / "test")
    model = weft.load(learnt / "runs/pictures")
    assert [str(prediction) for prediction in model.predict(names)] == captions
    first, empty = model.predict([names[0], " "], attention=True, batch_tokens=8)
    assert first.source_tokens == ["1,1", "1,2", "1,3"]
    assert first.attention.shape == (4, 3)
    assert (empty.text, empty.finish_reason) == ("", "empty")
    (probable,) = model.score([(names[0], captions[0])])
    assert probable.log_probability > -0.7


def test_an_ensemble_of_a_model_with_itself_is_the_model(learnt):
    names, _ = expected(learnt / "test")
    folder = learnt / "runs/pictures"
    one, two = (
        weft.load(which).predict(names[:4], attention=True, beam=2, coverage_penalty=0.2)
        for which in (folder, [folder, folder])
    )
    for mine, other in zip(one, two, strict=True):
        assert mine.text == other.text
        assert mine.score == pytest.approx(other.score, abs=1e-5)
        assert mine.attention.numpy() == pytest.approx(other.attention.numpy(), abs=1e-5)


def test_verbs_take_paths_of_images(learnt, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(learnt / "test")
    folder = learnt / "runs/pictures"
    names, captions = expected(learnt / "test")
    (tmp_path / "lines.txt").write_text("images/01.png\n\nimages/00.png\n")
    code, out, _ = run(capsys, "predict", folder, tmp_path / "lines.txt")
    assert (code, out) == (0, f"{captions[1]}\n\n{captions[0]}\n")
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "evaluate", folder, learnt / "test/captions.tsv", "--jsonl", "found.jsonl")
    assert code == 0
    assert "100.00" in out
    records = [json.loads(line) for line in Path("found.jsonl").read_text().splitlines()]
    assert [record["source"] for record in records] == names
    code, out, _ = run(capsys, "look", folder, "--attention", names[0], "--attention", names[1], "--out", "seen.png")
    assert code == 0
    assert out == f"{names[0]} → {captions[0]}\n{names[1]} → {captions[1]}\nseen.png\n"
    assert min(imread("seen.png").shape[:2]) > 100
    code, out, _ = run(capsys, "look", folder, "--length", learnt / "test/captions.tsv", "--out", "length.svg")
    assert "by caption length" in Path("length.svg").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("images/99.png", r"line 2: images/99.png: no such file"),
        ("captions.tsv", r"line 2: captions.tsv: not an image"),
        ("images/00.png#3", r"line 2: images/00.png: not an IDX file"),
    ],
)
def test_what_cannot_be_seen_is_said_with_its_line(learnt, capsys, tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(learnt / "test")
    (tmp_path / "lines.txt").write_text(f"images/00.png\n{line}\n")
    code, out, err = run(capsys, "predict", learnt / "runs/pictures", tmp_path / "lines.txt")
    assert (code, out) == (2, "")
    assert re.search(message, err)


def test_an_evaluation_says_which_line_names_an_image_that_is_not_there(learnt, capsys, tmp_path):
    captions = tmp_path / "captions.tsv"
    there = learnt / "test/images/00.png"
    captions.write_text(f"source\ttarget\n{there}\tdark\n\t\nnone.png\tdark\n")
    for verb, *arguments in (["evaluate", captions], ["evaluate", captions, "--score"], ["look", "--length", captions]):
        code, _, err = run(capsys, verb, learnt / "runs/pictures", *arguments)
        assert (code, err.splitlines()[-1]) == (2, f"weft: {captions}:4: {tmp_path / 'none.png'}: no such file")


def test_images_are_not_read_for_anyone_who_asks_over_http(learnt, capsys):
    code, _, err = run(capsys, "serve", learnt / "runs/pictures", "--port", 0)
    assert code == 2
    assert "which nobody may do over HTTP" in err


def contents(folder):
    return {
        path.name: path.read_bytes()
        for path in [folder / "model.safetensors", *folder.rglob("training/*/*.safetensors")]
    }


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    recipe = recipe_file(tmp_path, write_pictures(tmp_path, 40), steps=12)
    weft.train(recipe, "name=whole", say=quiet)

    class Stopped(BaseException):
        pass

    update = Trainer.update

    def stopping(self, *arguments):
        if self.progress.step == 8:
            raise Stopped
        update(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", stopping)
        with pytest.raises(Stopped):
            weft.train(recipe, "name=stopped", say=quiet)
    weft.train(recipe, "name=stopped", say=quiet)
    whole, stopped = (contents(tmp_path / "runs" / name) for name in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(stopped[name] == content for name, content in whole.items())


def test_a_run_does_not_go_on_with_other_images(tmp_path):
    recipe = recipe_file(tmp_path, write_pictures(tmp_path, 20), steps=4)
    weft.train(recipe, say=quiet)
    (tmp_path / "images/05.png").write_bytes((tmp_path / "images/06.png").read_bytes()[:-1] + b"\0")
    with pytest.raises(WeftError, match="the data of this run has changed"):
        weft.train(recipe, "training.steps=6", say=quiet)


def test_scheduled_sampling_of_a_transformer_sees_images_too(tmp_path):
    recipe = recipe_file(tmp_path, write_pictures(tmp_path, 20), steps=4, feeding={"kind": "free_running"})
    small = {"layers": 1, "heads": 2, "feed_forward": 16}
    model = {**SMALL, "encoder": {"kind": "transformer", **small}, "decoder": {"kind": "transformer", **small}}
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(recipe.read_text()), "model": model}))
    assert weft.train(recipe, say=quiet).predict([str(tmp_path / "images/00.png")])[0].finish_reason
