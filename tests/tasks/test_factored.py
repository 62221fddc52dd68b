"""A model that reads features beside words, from a file to predictions."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

import weft
from weft.cli.main import main
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.models import directory
from weft.training.trainer import Trainer
from weft.training.transfer import Transfer

WORDS = ["ba", "de", "ki", "lo"]


def rows(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Words, features of which nothing can be read off the words, and tags that only the features tell."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        words = [draw.choice(WORDS) + draw.choice(WORDS) for _ in range(draw.randint(2, 5))]
        features = [draw.choice("PQR") for _ in words]
        found.append((" ".join(words), " ".join(features), " ".join("X" if one == "P" else "Y" for one in features)))
    return found


def recipe(folder: Path, **model: Any) -> dict[str, Any]:
    return {
        "name": "run",
        "out": str(folder / "runs"),
        "data": {
            "train": str(folder / "train.tsv"),
            "test": str(folder / "test.tsv"),
            "dev_fraction": 0.1,
            "columns": {"source": 1, "target": 3, "factors": [2]},
        },
        "vocabulary": {
            "source": {"kind": "bpe", "size": 280, "sampling": 0.2},
            "target": {"kind": "word", "size": 20},
            "factors": {"derived": ["suffix2"]},
        },
        "model": {
            "width": 16,
            "embedding": {"factors": {"width": [4, 3]}},
            "encoder": {"kind": "rnn", "width": 12},
            "decoder": {"kind": "tags", "dropout": 0.0},
            **model,
        },
        "training": {
            "steps": 30,
            "batch_tokens": 256,
            "threads": 1,
            "save_every": 5,
            "optimizer": {"learning_rate": 0.03},
            "schedule": {"warmup": 5},
        },
        "validation": {"every": 15, "metric": "tag_accuracy"},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("factors")
    for seed, (name, count) in enumerate((("train", 200), ("test", 30))):
        (folder / f"{name}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows(count, seed)))
    return folder


def trained(folder: Path, settings: dict[str, Any], *overrides: str) -> weft.Model:
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(settings))
    model = weft.train(path, *overrides, say=lambda line: None)
    assert isinstance(model, weft.Model)
    return model


@pytest.fixture(scope="module")
def tagger(folder: Path) -> weft.Model:
    return trained(folder, recipe(folder))


def test_what_only_features_tell_is_learnt(tagger: weft.Model) -> None:
    found = tagger.predict(["bade kilo\tP Q", "", "bade kilo  lode\tR  P P", "zz\tNEW"])
    assert [str(one) for one in found[:3]] == ["X Y", "", "Y X X"]
    assert len(found[3].tokens) == 1


def test_batches_change_nothing(tagger: weft.Model) -> None:
    lines = ["bade kilo\tP Q", "lo\tR", "bade kilo lode baba\tR P P Q"]
    together = tagger.predict(lines)
    for line, one in zip(lines, together, strict=True):
        assert tagger.predict([line])[0].score == pytest.approx(one.score, abs=1e-5)
    assert tagger.vectors(lines).shape == (3, tagger.network.vector_width)
    scored = tagger.score([(line, str(one)) for line, one in zip(lines, together, strict=True)])
    assert [one.log_probability for one in scored] == pytest.approx(
        [sum(one.token_scores) for one in together], abs=1e-4
    )


def test_features_that_do_not_fit_are_told_with_the_line(tagger: weft.Model) -> None:
    with pytest.raises(WeftError, match="line 2: 1 feature for 2 words; expected one for each: 'ba de', 'P'"):
        tagger.predict(["ba\tP", "ba de\tP"])
    with pytest.raises(WeftError, match="line 1: 0 columns of features beside the words; expected 1"):
        tagger.predict(["ba"])


def test_an_ensemble_reads_the_same_columns(tagger: weft.Model, folder: Path) -> None:
    both = weft.Model.ensemble([tagger, tagger])
    assert str(both.predict(["bade kilo\tP Q"])[0]) == "X Y"
    settings = recipe(folder) | {"name": "fewer"}
    settings["data"] = settings["data"] | {"columns": {"source": 1, "target": 3}}
    settings["model"] = settings["model"] | {"embedding": {}}
    other = trained(folder, settings, "training.steps=1", "vocabulary.factors.derived=[]")
    with pytest.raises(WeftError, match="model 2 of the ensemble reads 0 columns of features"):
        weft.Model.ensemble([tagger, other])


def test_the_command_line(tagger: weft.Model, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(folder / "runs" / "run")
    with pytest.raises(SystemExit) as end:
        main(["evaluate", run, "--worst", "3"])
    printed = capsys.readouterr().out
    assert end.value.code == 0 and "tag accuracy 100.00" in printed
    assert "\t" not in printed
    (tmp_path / "lines.txt").write_text("ba de\tP Q\nlo\tR\n")
    with pytest.raises(SystemExit) as end:
        main(["predict", run, str(tmp_path / "lines.txt")])
    assert capsys.readouterr().out == "X Y\nY\n"
    with pytest.raises(SystemExit) as end:
        main(["look", run, "--attention", "ba de\tP Q"])
    assert capsys.readouterr().out.startswith("ba de → X Y\n")


def test_a_run_that_stopped_goes_on_as_if_it_had_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe(folder)
    whole = trained(folder, settings, "name=whole", "training.steps=12")
    update = Trainer.update

    def stops(self: Trainer, *given: Any) -> None:
        update(self, *given)
        if self.progress.step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "update", stops)
    with pytest.raises(KeyboardInterrupt):
        trained(folder, settings, "name=cut", "training.steps=12")
    monkeypatch.setattr(Trainer, "update", update)
    cut = trained(folder, settings, "name=cut", "training.steps=12")
    for one, other in zip(whole.network.parameters(), cut.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "model",
    [
        {"encoder": {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 16}},
        {"encoder": {"kind": "conv", "layers": 1, "width": 16}},
        {
            "decoder": {"kind": "rnn", "width": 12, "attention": {"width": 8}},
            "embedding": {"factors": {"combine": "sum"}},
        },
        {"embedding": {"source_width": 5, "tokens": 0.1, "factors": {"width": 2}}},
    ],
)
def test_any_encoder_and_decoder_reads_features(folder: Path, model: dict[str, Any]) -> None:
    tags = {} if "decoder" not in model else {"metric": "loss"}
    settings = recipe(folder, **model)
    settings["validation"] |= tags
    name = "-".join(map(str, model)) + str(len(str(model)))
    found = trained(folder, settings, f"name={name}", "training.steps=2").predict(["bade kilo\tP Q"])
    assert len(found) == 1


def test_features_begin_from_those_of_the_same_name(tagger: weft.Model, folder: Path) -> None:
    assert tagger.source.factors
    old = directory.load(folder / "runs" / "run", torch.device("cpu"))
    turned = [[*of[:3], *reversed(of[3:]), "fresh"] for of in tagger.source.factors.features]
    factors = type(tagger.source.factors)(1, ["suffix2"], turned)
    source: Vocabulary = tagger.source.with_factors(factors)
    network = directory.network_of(tagger.recipe, source, tagger.target)
    taken = Transfer(old, network, source, tagger.target).put("encoder")
    name = "source_input.factors.0.embedding.weight"
    ours, theirs = network.get_parameter(name), old.network.get_parameter(name)
    assert name in taken.whole
    for feature, row in zip(turned[0][:-1], ours, strict=False):
        assert torch.equal(row, theirs[tagger.source.factors.numbers[0][feature]]), feature


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.direction=backward", "data.direction is backward, where words of a source have no features"),
        ("data.noise.drop=0.1", "data.noise.drop would part words from the features"),
        ("data.noise.mask=0.1", "data.noise.mask would part words from the features"),
        ("vocabulary.normalization=nfkc", "vocabulary.normalization is nfkc"),
        ("model.encoder={kind: none}", "model.encoder.kind is none"),
        ("model.encoder={kind: pretrained, folder: x}", "model.encoder.kind is pretrained"),
        ("model.input={kind: image, height: 28, width: 28}", "model.input.kind is image"),
        ("data.columns.turns=2", "data.columns.factors are columns beside the words"),
        ("data.train={source: null, target: x}", "data.train.source is null"),
        ("model.embedding.factors.width=9", "width is 9 for 2 factors; expected 1 or more"),
        ("model.embedding.factors.width=[1]", "lists 1 width for 2 factors"),
        ("model.embedding.factors.width=[0, 1]", "expected 1 or more"),
        ("data.columns.factors=[]", "lists 2 widths for 1 factor"),
    ],
)
def test_recipes_that_cannot_be(folder: Path, change: str, said: str) -> None:
    settings = recipe(folder, decoder={"kind": "rnn", "width": 8})
    settings["validation"] = {}
    if "turns" in change:
        settings["data"]["columns"] = {"factors": [2]}
    if "none" in change:
        settings["model"] |= {"decoder": {"kind": "rnn", "attention": None}, "context": {"given": "none"}}
    if "pretrained" in change:
        settings["vocabulary"]["source"] = {}
    if "image" in change:
        settings["vocabulary"]["source"] = {}
    weft.recipe.apply_override(settings, change)
    with pytest.raises(WeftError) as error:
        weft.recipe.checked(settings, "test")
    assert said in str(error.value)


def test_settings_of_factors_without_any(folder: Path) -> None:
    settings = recipe(folder)
    settings["data"]["columns"].pop("factors")
    settings["vocabulary"].pop("factors")
    with pytest.raises(WeftError, match=r"data.columns.factors and vocabulary.factors.derived are empty"):
        weft.recipe.checked(settings, "test")
