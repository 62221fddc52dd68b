"""Temperatures of tags."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import pytest

import weft
from weft.data.corpus import prepare
from weft.metrics.calibration import calibration_error
from weft.training.calibration import calibrate, lowest


def test_the_lowest_place_is_found() -> None:
    assert lowest(lambda x: (x - 0.7) ** 2, -3, 3) == pytest.approx(0.7, abs=0.01)
    assert lowest(lambda x: x, -1, 1) == pytest.approx(-1, abs=0.01)


def test_confidence_beside_accuracy() -> None:
    assert calibration_error([0.95] * 20, [True] * 19 + [False]) == pytest.approx(0, abs=1e-9)
    assert calibration_error([1.0, 1.0], [True, False]) == 50
    assert calibration_error([0.55, 0.95], [False, True]) == pytest.approx((55 + 5) / 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has learnt its few examples by heart, a quarter of whose labels mean nothing."""
    folder = tmp_path_factory.mktemp("calibration")
    draw = random.Random(4)
    lines = []
    for number in range(200):
        good = draw.random() < 0.5
        word = "fine" if good else "bad"
        label = draw.choice(["yes", "no"]) if draw.random() < 0.5 else "yes" if good else "no"
        lines.append(f"it is {word} {number % 50}\t{label}\n")
    (folder / "pairs.tsv").write_text("".join(lines))
    (folder / "r.yaml").write_text(
        f"""
name: run
out: {folder}/runs
data: {{train: {folder}/pairs.tsv, dev_fraction: 0.3}}
vocabulary: {{source: {{kind: word, size: 100}}, target: {{kind: word, size: 10}}}}
model:
  width: 32
  embedding: {{dropout: 0.0}}
  encoder: {{kind: rnn, width: 32, dropout: 0.0}}
  decoder: {{kind: tags, of: line, dropout: 0.0}}
training:
  steps: 200
  batch_tokens: 200
  label_smoothing: 0.0
  threads: 1
  optimizer: {{learning_rate: 0.01}}
  schedule: {{warmup: 5}}
validation: {{every: 200, metric: exact_match}}
"""
    )
    weft.train(folder / "r.yaml", say=lambda line: None)
    return folder / "runs" / "run"


def test_what_is_too_sure_becomes_less_so(run: Path) -> None:
    model = weft.load(run)
    assert float(model.network.decoder.temperature) > 1.1
    surest = [math.exp(one.token_scores[0]) for one in model.predict(["it is fine 3", "it is bad 4"])]
    with_one = weft.load(run)
    with_one.network.decoder.temperature.data.fill_(1.0)
    before = [math.exp(one.token_scores[0]) for one in with_one.predict(["it is fine 3", "it is bad 4"])]
    assert all(now < then for now, then in zip(surest, before, strict=True))


def test_again_is_the_same(run: Path) -> None:
    before = float(weft.load(run).network.decoder.temperature)
    recipe = weft.load(run).recipe
    data = prepare(recipe, None, report=lambda line: None)
    told = calibrate(run, data.dev, recipe.training.batch_tokens, "cpu")
    assert float(weft.load(run).network.decoder.temperature) == before
    without, with_it = (float(word) for word in re.findall(r"loss (\S+) without, (\S+) with", told)[0])
    assert with_it <= without
