"""A run on top of a pretrained encoder: what it keeps, that it goes on, that it needs nothing else."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from encoders import write_bert

import weft
from weft.errors import WeftError
from weft.models.directory import read_tensors
from weft.models.pretrained import PretrainedEncoder
from weft.training.average import average
from weft.training.checkpoint import checkpoints, states
from weft.training.train import train

transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")

Write = Callable[..., Path]


def silent(line: str) -> None:
    pass


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "bert")


@pytest.fixture
def contextual(recipe_file: Write, bert: Path) -> Write:
    """Writes a recipe whose encoder is the tiny BERT; gives the recipe's path."""

    def write(name: str = "run", decoder: str = "rnn", encoder: dict[str, Any] | None = None, **training: Any) -> Path:
        path = recipe_file(decoder, name=name, **training)
        recipe = yaml.safe_load(path.read_text())
        recipe["model"]["encoder"] = {"kind": "pretrained", "folder": str(bert), **(encoder or {})}
        del recipe["vocabulary"]["source"]
        path.write_text(yaml.safe_dump(recipe))
        return path

    return write


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(run / "model.safetensors")


def test_learns_on_top_of_weights_that_stay(contextual: Write, bert: Path, tmp_path: Path) -> None:
    path = contextual(steps=200, label_smoothing=0.0)
    model = train(path, "validation.every=100", "validation.metrics=[]", say=silent)
    run = tmp_path / "runs" / "run"
    losses = [float(line.split('"loss": ')[1].split(",")[0]) for line in log(run, "validation")]
    assert losses[-1] < 0.75 * math.log(6)  # nats a token that one has who does not see the source
    there, here = transformers.AutoModel.from_pretrained(bert).state_dict(), model.network.encoder
    assert isinstance(here, PretrainedEncoder)
    assert all(torch.equal(tensor, there[name]) for name, tensor in here.network.named_parameters())
    holding = [
        file.relative_to(run)
        for file in run.rglob("*.safetensors")
        if any("word_embeddings" in name for name in read_tensors(file))
    ]
    assert holding == [Path("encoder/model.safetensors")]
    assert len(checkpoints(run)) == 2


def log(run: Path, event: str) -> list[str]:
    return [line for line in (run / "log.jsonl").read_text().split("\n") if f'"event": "{event}"' in line]


def test_a_run_is_all_that_using_it_needs(
    contextual: Write, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train(contextual(), say=silent)
    shutil.move(tmp_path / "runs" / "run", tmp_path / "elsewhere")
    shutil.rmtree(bert)
    shutil.rmtree(tmp_path / "cache")
    model = weft.load(tmp_path / "elsewhere")
    lines = ["a b c", "", "f e d x"]
    found = model.predict(lines, attention=True)
    assert [(p.text, p.score) for p in found] == [(p.text, p.score) for p in trained.predict(lines)]
    assert found[0].source_tokens == ["[CLS]", "a", "b", "c"]
    assert found[0].attention is not None and found[0].attention.shape[1] == 5
    assert found[1].finish_reason == "empty"
    assert found[2].unknown == 1
    assert [round(p.score, 4) for p in model.predict(lines[::-1], batch_tokens=1)] == [
        round(p.score, 4) for p in model.predict(lines)[::-1]
    ]


@pytest.mark.parametrize("encoder", [{}, {"trained": True, "states": "mixed"}], ids=["kept", "trained"])
def test_goes_on_exactly_where_the_folder_is_gone(
    encoder: dict[str, Any], contextual: Write, bert: Path, tmp_path: Path
) -> None:
    train(contextual("whole", encoder=encoder), say=silent)
    train(contextual("cut", encoder=encoder), "training.steps=12", say=silent)
    shutil.rmtree(bert)
    train(tmp_path / "runs" / "cut", "training.steps=24", say=silent)
    whole, cut = (tmp_path / "runs" / name for name in ("whole", "cut"))
    ours, theirs = (read_tensors(states(run)[-1] / "model.safetensors") for run in (whole, cut))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_that_had_no_state_yet_takes_the_encoder_anew(contextual: Write, bert: Path, tmp_path: Path) -> None:
    path, run = contextual(), tmp_path / "runs" / "run"
    train(path, say=silent)
    for name in ("training", "checkpoints"):
        shutil.rmtree(run / name)
    (run / "model.safetensors").unlink()
    write_bert(bert, seed=7)
    train(path, say=silent)
    there = transformers.AutoModel.from_pretrained(bert).embeddings.word_embeddings.weight
    assert torch.equal(read_tensors(run / "encoder" / "model.safetensors")["embeddings.word_embeddings.weight"], there)


def test_what_is_trained_is_kept_as_all_weights_are(contextual: Write, bert: Path, tmp_path: Path) -> None:
    model = train(contextual(encoder={"trained": True}), say=silent)
    run = tmp_path / "runs" / "run"
    assert [path.name for path in (run / "encoder").iterdir()] == ["config.json"]
    name = "embeddings.word_embeddings.weight"
    there = transformers.AutoModel.from_pretrained(bert).state_dict()[name]
    ours = weights(run)[f"encoder.pretrained.{name}"]
    assert not torch.equal(ours, there)
    torch.testing.assert_close(ours, there, rtol=0, atol=0.02)  # at a twentieth of the rate it stays near
    lines = ["a b c", "d e f"]
    assert [p.text for p in weft.load(run).predict(lines)] == [p.text for p in model.predict(lines)]


def test_the_rate_is_a_part_of_the_others(contextual: Write, bert: Path, tmp_path: Path) -> None:
    there = transformers.AutoModel.from_pretrained(bert).state_dict()["embeddings.word_embeddings.weight"]
    moved = []
    for name, rate in (("slow", 0.001), ("fast", 1.0)):
        train(contextual(name, encoder={"trained": True, "rate": rate}), say=silent)
        ours = weights(tmp_path / "runs" / name)["encoder.pretrained.embeddings.word_embeddings.weight"]
        moved.append(float((ours - there).abs().max()))
    assert moved[1] > 100 * moved[0] > 0


def test_an_average_has_the_encoder_too(contextual: Write, bert: Path, tmp_path: Path) -> None:
    train(contextual(), say=silent)
    average(tmp_path / "runs" / "run", "last", 2, tmp_path / "mean")
    shutil.rmtree(tmp_path / "runs")
    shutil.rmtree(bert)
    assert len(weft.load(tmp_path / "mean").predict(["a b c"])) == 1


@pytest.mark.parametrize("encoder", [{}, {"trained": True}], ids=["kept", "trained"])
def test_another_run_starts_from_the_model_with_its_encoder(
    encoder: dict[str, Any], contextual: Write, bert: Path, tmp_path: Path
) -> None:
    train(contextual("old", encoder=encoder), say=silent)
    shutil.rmtree(bert)
    old = tmp_path / "runs" / "old"
    new = contextual("new", encoder=encoder)
    train(new, f"start.model={old}", "training.steps=1", "training.optimizer.learning_rate=1e-9", say=silent)
    ours, theirs = weights(old), weights(tmp_path / "runs" / "new")
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)
    kept = [(run / "encoder" / "model.safetensors") for run in (old, tmp_path / "runs" / "new")]
    assert [file.is_file() for file in kept] == [not encoder] * 2
    assert not kept[0].is_file() or kept[0].read_bytes() == kept[1].read_bytes()


def test_a_start_of_another_kind_is_an_error(contextual: Write, recipe_file: Write, tmp_path: Path) -> None:
    train(recipe_file(name="plain"), "training.steps=2", say=silent)
    with pytest.raises(WeftError, match=r"model\.encoder\.kind is 'rnn' there and 'pretrained' here"):
        train(contextual("new"), f"start.model={tmp_path / 'runs' / 'plain'}", say=silent)
    with pytest.raises(WeftError, match=r"start\.model: \S+/none: no such model directory"):
        train(contextual("new"), f"start.model={tmp_path / 'none'}", say=silent)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_run_without_a_recipe_may_have_one(bert: Path, direction: str, recipe_file: Write, tmp_path: Path) -> None:
    recipe_file()
    told: list[str] = []
    model = train(
        tmp_path / "pairs.tsv",
        "model.encoder.kind=pretrained",
        f"model.encoder.folder={bert}",
        "model.decoder.kind=rnn",
        f"out={tmp_path / 'runs'}",
        "training.steps=2",
        f"data.direction={direction}",
        say=told.append,
    )
    assert f"pretrained encoder {bert}, rnn decoder of 1 layer" in "\n".join(told)
    pieces = {
        "forward": "source as the encoder's pieces, target as words  (vocabulary.target.kind=...)",
        "backward": "source as words, target as the encoder's pieces  (vocabulary.source.kind=...)",
    }
    assert pieces[direction] in told
    assert model.recipe.vocabulary.shared is False


def test_an_encoder_is_not_for_another_kind(contextual: Write, recipe_file: Write, tmp_path: Path) -> None:
    train(contextual("old"), say=silent)
    with pytest.raises(WeftError, match=r"model\.encoder\.kind is 'pretrained' there and 'rnn' here"):
        train(recipe_file(name="new"), f"start.encoder={tmp_path / 'runs' / 'old'}", say=silent)


def test_a_source_too_long_is_told_of_before_the_first_step(contextual: Write, tmp_path: Path) -> None:
    path = contextual()
    with (tmp_path / "pairs.tsv").open("a") as file:
        file.writelines(f"{'a ' * 30}{letter}\t{letter}\n" for letter in "abcdef")
    with pytest.raises(WeftError, match=r"has 20 positions, but a source has 33 pieces"):
        train(path, say=silent)
    train(path, "data.max_length=19", say=silent)


def test_a_transformer_may_be_on_top(contextual: Write) -> None:
    model = train(contextual(decoder="transformer"), "training.steps=2", say=silent)
    assert len(model.score([("a b", "b a")])[0].token_scores) == 3


def test_a_run_whose_encoder_was_taken_away_says_so(contextual: Write, tmp_path: Path) -> None:
    train(contextual(), "training.steps=2", say=silent)
    kept = tmp_path / "runs" / "run" / "encoder"
    (kept / "model.safetensors").unlink()
    with pytest.raises(WeftError, match=r"runs/run/encoder/model\.safetensors: no such file"):
        weft.load(tmp_path / "runs" / "run")
    shutil.rmtree(kept)
    with pytest.raises(WeftError, match=r"runs/run/encoder/config\.json is missing"):
        weft.load(tmp_path / "runs" / "run")


def test_models_of_other_pieces_answer_together(contextual: Write, recipe_file: Write, tmp_path: Path) -> None:
    runs = [tmp_path / "runs" / name for name in ("run", "plain")]
    train(contextual(), say=silent)
    train(recipe_file(name="plain"), say=silent)
    lines = ["a b c", "f e"]
    together = weft.load(runs).predict(lines, beam=1, batch_tokens=1)
    assert [(p.text, p.score) for p in weft.load(runs).predict(lines, beam=1)] == [
        (p.text, pytest.approx(p.score, abs=1e-5)) for p in together
    ]


def test_backward_reads_the_other_side(contextual: Write, tmp_path: Path) -> None:
    recipe = yaml.safe_load(contextual().read_text())
    recipe["vocabulary"] = {"source": recipe["vocabulary"]["target"]}
    recipe["data"]["direction"] = "backward"
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(recipe))
    model = train(tmp_path / "run.yaml", "training.steps=2", say=silent)
    assert model.predict(["a b"])[0].source_tokens == ["[CLS]", "a", "b"]
    recipe["vocabulary"] = {"target": recipe["vocabulary"]["source"]}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(WeftError, match=r"vocabulary\.target has no place beside model\.encoder\.kind: pretrained"):
        train(tmp_path / "run.yaml", say=silent)
