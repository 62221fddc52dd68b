"""Tagging, classification and both, from a file to predictions."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

import weft
from weft.cli.look import example_of
from weft.cli.main import main
from weft.errors import WeftError
from weft.tasks.evaluate import evaluate, items

CITIES = ["paris", "new york", "san jose", "rome", "oslo"]
DAYS = ["monday", "friday", "noon"]
INTENTS = {"fare": "what does it cost", "flight": "fly"}


def sentence(draw: random.Random) -> tuple[str, str, str]:
    """Words, their tags and the intent."""
    words, tags = [], []
    intent = draw.choice(list(INTENTS))
    words += INTENTS[intent].split()
    tags += ["O"] * len(words)
    for way, places in (("to", CITIES), ("on", DAYS)):
        if draw.random() < 0.8:
            of = draw.choice(places).split()
            words += [way, *of]
            tags += ["O", f"B-{way}", *[f"I-{way}"] * (len(of) - 1)]
    return " ".join(words), " ".join(tags), intent


def recipe(folder: Path, of: str, target: int | list[int], **decoder: Any) -> dict[str, Any]:
    return {
        "name": of,
        "out": str(folder / "runs"),
        "data": {
            "train": str(folder / "train.tsv"),
            "test": str(folder / "test.tsv"),
            "dev_fraction": 0.1,
            "columns": {"source": 1, "target": target},
        },
        "vocabulary": {"source": {"kind": "bpe", "size": 300}, "target": {"kind": "word", "size": 20}},
        "model": {
            "width": 24,
            "embedding": {"dropout": 0.0},
            "encoder": {"kind": "rnn", "cell": "lstm", "width": 24, "dropout": 0.0},
            "context": {"of": "weighted"},
            "decoder": {"kind": "tags", "of": of, "dropout": 0.0} | decoder,
        },
        "training": {
            "steps": 60,
            "batch_tokens": 300,
            "threads": 1,
            "optimizer": {"learning_rate": 0.02},
            "schedule": {"warmup": 5},
        },
        "validation": {"every": 60, "metric": "exact_match"},
        "search": {"tags": "any" if of == "line" else "bio"},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags")
    draw = random.Random(1)
    for name, count in (("train", 300), ("test", 40)):
        lines = ["\t".join(sentence(draw)) + "\n" for _ in range(count)]
        (folder / f"{name}.tsv").write_text("".join(lines))
    return folder


def trained(folder: Path, settings: dict[str, Any]) -> weft.Model:
    path = folder / f"{settings['name']}.yaml"
    path.write_text(json.dumps(settings))
    return weft.train(path, say=lambda line: None)


@pytest.fixture(scope="module")
def tagger(folder: Path) -> weft.Model:
    return trained(folder, recipe(folder, "words", 2, chain=True))


@pytest.fixture(scope="module")
def joint(folder: Path) -> weft.Model:
    return trained(folder, recipe(folder, "both", [3, 2], chain=True))


@pytest.fixture(scope="module")
def classifier(folder: Path) -> weft.Model:
    return trained(folder, recipe(folder, "line", 3))


def test_tags_are_learnt(tagger: weft.Model) -> None:
    assert [str(one) for one in tagger.predict(["fly to new york on friday", "fly  to\u2003oslo "])] == [
        "O O B-to I-to O B-on",
        "O O B-to",
    ]


def test_unknown_words_have_their_tags_too(tagger: weft.Model) -> None:
    lines = ["fly to zzyzx xyzzy", "qq", "1 2 3 4 5 6 7"]
    assert [len(str(one).split()) for one in tagger.predict(lines)] == [4, 1, 7]
    assert [len(str(one).split()) for one in tagger.predict(["fly \u2581 to\u2581oslo"])] == [3]


def test_labels_are_learnt(classifier: weft.Model) -> None:
    found = classifier.predict(["fly to rome", "what does it cost on monday"], attention=True)
    assert [str(one) for one in found] == ["flight", "fare"]
    assert found[0].attention is not None
    torch.testing.assert_close(found[0].attention.sum(-1), torch.ones(2))


def test_a_look_at_a_label_has_its_row_alone(classifier: weft.Model) -> None:
    (found,) = classifier.predict(["what does it cost on monday"], attention=True)
    example = example_of("what does it cost on monday", found, (False, True), ended=classifier.recipe.tags is None)
    assert (example.target_pieces, example.weights.shape) == (["fare"], (1, len(found.source_tokens) + 1))


def test_alternatives_of_a_label_are_the_other_labels(classifier: weft.Model) -> None:
    best = classifier.predict(["fly to rome"], n_best=2)[0]
    assert [str(best), str(best.alternatives[0])] == ["flight", "fare"]


def test_both_are_learnt_by_one_encoder(joint: weft.Model) -> None:
    assert str(joint.predict(["fly to san jose"])[0]) == "flight O O B-to I-to"


def test_evaluating_scores_spans_and_labels(joint: weft.Model, folder: Path) -> None:
    pairs = [(one, f"{intent} {tags}") for one, tags, intent in
             (line.split("\t") for line in (folder / "test.tsv").read_text().splitlines())]  # fmt: skip
    found = evaluate(joint, items(pairs, False), ["exact_match", "first_accuracy", "span_f1"])
    assert min(score.value for score in found.scores) >= 90


def test_no_beam_breaks_a_span(folder: Path) -> None:
    settings = recipe(folder, "words", 2, chain=False) | {"name": "fresh"}
    settings["training"] |= {"steps": 1}
    model = trained(folder, settings)
    lines = [sentence(random.Random(seed))[0] for seed in range(10)]
    for line, best in zip(lines, model.predict(lines, n_best=3, beam=4), strict=True):
        for one in (best, *best.alternatives):
            tags = str(one).split()
            assert len(tags) == len(line.split())
            for before, tag in zip(["O", *tags], tags, strict=False):
                assert not tag.startswith("I-") or before[2:] == tag[2:]


def test_the_command_line_evaluates_and_draws(
    tagger: weft.Model, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "taken.png"
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(folder / "runs" / "words"), "--confusion", str(picture), "--worst", "0"])
    assert end.value.code == 0
    assert "tag accuracy" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_unequal_counts_in_the_test_file(tagger: weft.Model, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.tsv").write_text("fly to rome\tO O\n")
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(folder / "runs" / "words"), str(tmp_path / "wrong.tsv")])
    assert end.value.code == 2


def test_an_ensemble_of_taggers(tagger: weft.Model) -> None:
    both = weft.Model.ensemble([tagger, tagger])
    line = "fly to new york on friday"
    one, two = tagger.predict([line])[0], both.predict([line])[0]
    assert (str(two), two.score) == (str(one), pytest.approx(one.score, abs=1e-5))


def test_as_many_out_as_in(folder: Path) -> None:
    """An autoregressive decoder that is told how long its output is."""
    settings = recipe(folder, "words", 2) | {"name": "poem"}
    settings["model"]["decoder"] = {"kind": "rnn", "width": 24}
    settings["search"] = {"output_length": "source"}
    settings["vocabulary"]["source"] = {"kind": "word", "size": 40}
    settings["training"] |= {"steps": 1}
    model = trained(folder, settings)
    lines = ["fly", "fly to new york on friday", "zz zz zz"]
    assert [len(one.tokens) for one in model.predict(lines)] == [1, 6, 3]
    assert {len(one.tokens) for one in model.predict(["fly to rome"], kind="sample", n_best=5)[0].alternatives} == {3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vocabulary": {"target": {"kind": "bpe"}}}, "vocabulary.shared: false and target: {kind: word}"),
        ({"data": {"noise": {"drop": 0.1}}}, "data.noise.drop would part words from their tags"),
        ({"data": {"noise": {"mask": 0.1}}}, "data.noise.mask would part words from their tags"),
        ({"vocabulary": {"normalization": "nfkc"}}, "vocabulary.normalization: identity"),
        ({"model": {"encoder": {"kind": "none"}}}, "which are read off an encoder"),
        ({"data": {"direction": "backward"}}, "data.direction is 'backward'"),
        ({"start": {"target_vectors": {"file": "x.vec"}}}, "no embedding for start.target_vectors"),
        ({"model": {"decoder": {"kind": "rnn"}}}, "search.tags is bio, which needs model.decoder.kind: tags"),
    ],
)
def test_recipes_that_cannot_be(folder: Path, change: dict[str, Any], said: str) -> None:
    settings = recipe(folder, "words", 2)
    for section, below in change.items():
        for key, value in below.items():
            place = settings.setdefault(section, {})
            fresh = key in ("decoder", "encoder")
            place[key] = {**({} if fresh else place.get(key, {})), **value} if isinstance(value, dict) else value
    with pytest.raises(WeftError, match=said.replace("{", r"\{")):
        weft.recipe.checked(settings, "test")
