"""Any number of labels for a line, from a file to predictions."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import weft
from weft.cli.main import main
from weft.errors import WeftError
from weft.tasks.evaluate import evaluate, items

TOPICS = {"sport": ["ball", "goal", "team"], "money": ["bank", "coin"], "food": ["bread", "soup"]}
RECIPE = """
name: topics
out: {folder}/runs
data: {{train: {folder}/train.tsv, test: {folder}/test.tsv, dev_fraction: 0.2}}
vocabulary: {{source: {{kind: word, size: 40}}, target: {{kind: word, size: 8}}}}
model:
  width: 16
  embedding: {{dropout: 0.0}}
  encoder: {{kind: windows, widths: [1, 2], channels: 8}}
  context: {{of: max}}
  decoder: {{kind: labels, dropout: 0.0}}
training:
  steps: 60
  batch_tokens: 400
  threads: 1
  optimizer: {{learning_rate: 0.03}}
  schedule: {{warmup: 5}}
validation: {{every: 60, metric: micro_f1}}
"""


def line(draw: random.Random) -> tuple[str, str]:
    topics = [topic for topic in TOPICS if draw.random() < 0.4]
    words = [draw.choice(TOPICS[topic]) for topic in topics] + draw.choices(["the", "a", "of"], k=3)
    draw.shuffle(words)
    draw.shuffle(topics)
    return " ".join(words), " ".join(topics)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    draw = random.Random(1)
    for name, count in (("train", 300), ("test", 30)):
        (folder / f"{name}.tsv").write_text("".join("\t".join(line(draw)) + "\n" for _ in range(count)))
    (folder / "topics.yaml").write_text(RECIPE.format(folder=folder))
    return folder


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def model(folder: Path, told: list[str]) -> weft.Model:
    return weft.train(folder / "topics.yaml", say=told.append)


LINES = ["the ball and the bread", "the of a", "soup goal coin"]


def test_sets_are_learnt_and_said_in_one_order(model: weft.Model) -> None:
    assert [str(one) for one in model.predict(LINES)] == ["food sport", "", "food money sport"]


def test_lines_without_a_label_are_trained_on(model: weft.Model, told: list[str]) -> None:
    assert any("300 pairs read; none left out" in line for line in told)
    assert any("temperature" in line for line in told)


def test_each_label_has_a_probability(model: weft.Model) -> None:
    for one in model.predict(LINES, beam=1):
        assert one.labels is not None and list(one.labels) == ["food", "money", "sport"]
        assert {label for label, p in one.labels.items() if p > 0.5} == set(str(one).split())
        there = [p if p > 0.5 else 1 - p for p in one.labels.values()]
        assert one.score == pytest.approx(np.log(there).sum(), abs=1e-4)
        assert one.record()["labels"] == one.labels


def test_alternatives_are_other_sets(model: weft.Model) -> None:
    best = model.predict(["the ball and the bread"], n_best=4)[0]
    said = [str(best), *map(str, best.alternatives)]
    assert len(set(said)) == 4
    assert [one.score for one in best.alternatives] == sorted((one.score for one in best.alternatives), reverse=True)


def test_what_must_and_must_not_be_there(model: weft.Model) -> None:
    found = model.predict(LINES, must=[["money"], ["food"], []], never=[["sport"], [], ["goal", "money"]])
    assert [str(one) for one in found] == ["food money", "food", "food sport"]
    with pytest.raises(WeftError, match="prefix has no part in labels"):
        model.predict(LINES, prefix=["food", "", ""])


def test_what_is_about_order_has_no_part_in_sets(model: weft.Model) -> None:
    for option in ({"no_repeat_ngram": 2}, {"length_penalty": 0.5}):
        with pytest.raises(WeftError, match=r"has no part in model\.decoder\.kind: labels, which are a set"):
            model.predict(LINES, **option)


def test_each_label_and_the_end_have_a_row_of_attention(model: weft.Model) -> None:
    for one in model.predict(LINES, attention=True):
        assert one.attention is not None
        assert one.attention.shape == (len(one.tokens) + 1, len(one.source_tokens) + 1)
        torch.testing.assert_close(one.attention.sum(1), torch.ones(len(one.tokens) + 1))


def test_a_look_at_labels_has_a_row_for_each_and_none_for_an_end(
    folder: Path, model: weft.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["look", str(folder / "runs" / "topics"), "--attention", LINES[0], "--attention", LINES[1]])
    some, none = capsys.readouterr().out.split(f"{LINES[1]} → ")
    assert [row.split()[0] for row in some.rstrip().split("\n")[-2:]] == ["food", "sport"]
    assert none.rstrip("\n").split("\n")[-1].startswith("(none) ") and "\n∎" not in some + none


def test_given_sets_have_probabilities(model: weft.Model) -> None:
    best = model.predict(LINES)
    scored = model.score(list(zip(LINES, ["sport food", "", "food money sport"], strict=True)))
    assert [one.log_probability for one in scored] == [pytest.approx(one.score, abs=1e-5) for one in best]


def test_an_ensemble_averages_probabilities(model: weft.Model) -> None:
    one, both = model.predict(LINES), weft.Model.ensemble([model, model]).predict(LINES)
    for alone, together in zip(one, both, strict=True):
        assert together.labels == pytest.approx(alone.labels, abs=1e-5)


def test_evaluating_compares_sets(
    model: weft.Model, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, records = tmp_path / "taken.png", tmp_path / "lines.jsonl"
    turned = ["\t".join((source, " ".join(reversed(target.split())))) + "\n" for source, target in
              (one.split("\t") for one in (folder / "test.tsv").read_text().splitlines())]  # fmt: skip
    (tmp_path / "turned.tsv").write_text("".join(turned))
    found = []
    for file in (folder / "test.tsv", tmp_path / "turned.tsv"):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", str(folder / "runs" / "topics"), str(file), "--confusion", str(picture),
                  "--jsonl", str(records)])  # fmt: skip
        assert end.value.code == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    assert "micro F1 100.00" in found[0] and "exact match 100.00" in found[0] and "of single labels" in found[0]
    assert "30 items" in found[0]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "" in [json.loads(one)["output"] for one in records.read_text().splitlines()]


def test_labels_that_were_never_seen_are_missed(model: weft.Model) -> None:
    found = evaluate(model, items([("the ball", "chess sport")], False), ["micro_f1", "exact_match"])
    assert [score.value for score in found.scores] == [pytest.approx(100 * 2 / 3), 0.0]


def test_a_model_of_one_label_is_no_member_of_an_ensemble_of_sets(model: weft.Model, folder: Path) -> None:
    recipe = weft.recipe.load(folder / "topics.yaml", ["model.decoder.kind=tags", "model.decoder.of=line"])
    other = weft.Model(recipe, model.network, model.source, model.target)
    with pytest.raises(WeftError, match="model 2 of the ensemble has decoder tags, the first has labels"):
        weft.Model.ensemble([model, other])


def test_a_start_knows_its_labels_beside_new_ones(model: weft.Model, folder: Path) -> None:
    lines = [f"a pawn {word}\tchess {topic}\n" for topic, words in TOPICS.items() for word in words]
    more = (folder / "train.tsv").read_text() + "".join(lines)
    (folder / "more.tsv").write_text(more)
    changes = ["name=more", f"data.train={folder / 'more.tsv'}", "training.steps=1"]
    changes += [f"start.{part}={folder / 'runs' / 'topics'}" for part in ("encoder", "decoder")]
    changes += ["vocabulary.target.size=9", "training.optimizer.learning_rate=1e-9"]
    started = weft.train(folder / "topics.yaml", *changes, say=lambda line: None)
    before, after = (one.predict(LINES)[0].labels for one in (model, started))
    assert before is not None and after is not None and set(after) == {"chess", *before}
    assert [label for label in before if after[label] > 0.5] == [label for label in before if before[label] > 0.5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("vocabulary.target.kind=bpe", "model.decoder.kind is labels: it needs vocabulary.shared: false"),
        ("search.no_repeat_ngram=2", "'search.no_repeat_ngram' has no part in model.decoder.kind: labels"),
        ("training.feeding.kind=free_running", "'training.feeding' has no part in model.decoder.kind: labels"),
        ("model.encoder={kind: none}", "model.decoder.kind is labels, which are read off an encoder"),
        ("search.tags=bio", "search.tags is bio, which needs model.decoder.kind: tags"),
        ("model.encoder.widths=[0, 3]", r"model.encoder.widths is \[0, 3\]; expected 1 or more of each"),
    ],
)
def test_recipes_that_cannot_be(folder: Path, change: str, said: str) -> None:
    with pytest.raises(WeftError, match=said):
        weft.recipe.load(folder / "topics.yaml", [change])
