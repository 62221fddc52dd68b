"""A model that goes both ways: what one way says of lengths, languages and files, the other says turned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import weft.recipe
from weft.cli.main import run
from weft.data.direction import TOKENS
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.metrics.breakdown import Bucket
from weft.models import directory
from weft.models.seq2seq import Seq2Seq
from weft.tasks.line import Line
from weft.tasks.text import Model, load

SETTINGS = {
    "source_language": "en",
    "target_language": "zh",
    "data": {"train": "nowhere.tsv", "direction": "both"},
    "vocabulary": {"shared": True, "source": {"kind": "bpe", "size": 60, "byte_fallback": False}},
    "model": {
        "width": 8,
        "encoder": {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 8, "position": "learned"},
        "decoder": {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 8, "position": "learned"},
    },
}
SETTINGS["model"]["encoder"]["positions"] = SETTINGS["model"]["decoder"]["positions"] = 12  # type: ignore[index]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    recipe = weft.recipe.checked(SETTINGS, "test")
    lines = ["the red sea", "a sea", "red the a"] * 5
    control = TOKENS.values()
    vocabulary = Vocabulary.learn(lines, recipe.vocabulary.source, "identity", folder / directory.SOURCE, control)
    torch.manual_seed(3)
    network = Seq2Seq(recipe.model, vocabulary.size, vocabulary.size)
    with torch.no_grad():
        network.output.projection.bias[vocabulary.eos] = -20.0  # outputs go on as long as they may
    directory.save_weights(network, folder / directory.WEIGHTS)
    (folder / directory.RECIPE).write_text(weft.recipe.dump(recipe))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_an_output_as_long_as_its_source_does_not_count_the_direction(model: Model, direction: str) -> None:
    (found,) = model.predict(["the red sea"], direction=direction, output_length="source")
    assert len(found.tokens) == len(found.source_tokens) - 1 and found.finish_reason == "end"


def test_phrases_are_written_as_in_the_language_that_is_said(model: Model) -> None:
    for direction, spaced in (("forward", False), ("backward", True)):
        (line,) = model.encoded([Line(0, "a sea", never=["sea"])], direction)
        pieces = model.target.pieces(line.never[0].inside)
        assert pieces[0].startswith("▁") is spaced


def test_evaluation_backward_takes_the_sides_of_the_files_in_turn(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.tsv").write_text("the sea\tred a\n")
    command = ["evaluate", str(folder), str(tmp_path / "pairs.tsv"), "--direction", "backward"]
    assert run([*command, "--jsonl", str(tmp_path / "out.jsonl"), "--metrics", "chrf"]) == 0
    record = json.loads((tmp_path / "out.jsonl").read_text())
    assert (record["source"], record["references"]) == ("red a", ["the sea"])
    capsys.readouterr()
    assert run([*command, "--score"]) == 0
    assert capsys.readouterr().out.rstrip("\n").split("\t")[3:] == ["red a", "the sea"]


@pytest.mark.parametrize(("direction", "tokenizer"), [("forward", "tok:zh"), ("backward", "tok:13a")])
def test_scores_by_length_are_of_the_language_that_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str, tokenizer: str
) -> None:
    drawn: list[Bucket] = []
    monkeypatch.setattr("weft.look.length.draw_length", lambda buckets, *rest: drawn.extend(buckets))
    (tmp_path / "pairs.tsv").write_text("the red sea a sea\ta red sea the sea\n")
    command = ["evaluate", str(folder), str(tmp_path / "pairs.tsv"), "--direction", direction, "--metrics", "bleu"]
    assert run([*command, "--picture", str(tmp_path / "length.png")]) == 0
    assert [tokenizer in bucket.score.signature for bucket in drawn] == [True]


def test_outputs_end_where_positions_do(model: Model) -> None:
    (found,) = model.predict(["the red sea"], beam=1)
    assert (len(found.tokens), found.finish_reason) == (11, "length")
    longer = "the red sea a sea the red sea a sea the red sea"
    with pytest.raises(WeftError, match=r"^line 2: it has \d+ tokens, but model.encoder.positions is 12, one of them"):
        model.predict(["a sea", longer])
    with pytest.raises(
        WeftError, match=r"^line 1: its output has \d+ tokens or more, but model.decoder.positions is 12"
    ):
        model.predict(["a sea"], prefix=[longer])
