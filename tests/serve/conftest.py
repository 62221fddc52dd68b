"""A tiny model directory with random weights, and its server."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

import weft.recipe
from weft.data.vocabulary import Vocabulary
from weft.models.directory import RECIPE, WEIGHTS, save_vocabularies, save_weights
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Recipe
from weft.serve.app import application
from weft.serve.queue import Bounds
from weft.serve.request import Limits
from weft.tasks.text import Model, Prediction, load

STACK = {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 16}
SETTINGS = {
    "name": "tiny",
    "source_language": "en",
    "target_language": "de",
    "data": {"train": "none.tsv"},
    "vocabulary": {"source": {"kind": "character"}, "target": {"kind": "character"}},
    "model": {"width": 12, "encoder": STACK, "decoder": {"kind": "rnn", "width": 10, "attention": {"width": 6}}},
    "search": {"beam": 3, "max_ratio": 1.0, "max_extra": 4},
}
LIMITS = Limits(body_bytes=4000, lines=5, characters=40, beam=6, attention=9000)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    recipe = Recipe.model_validate(SETTINGS)
    sides = recipe.vocabulary
    source = Vocabulary.learn(["abc def", "ghij"], sides.source, "identity", folder / "source.model")
    target = Vocabulary.learn(["uvw xyz", "rst"], sides.target, "identity", folder / "target.model")
    torch.manual_seed(1)
    network = Seq2Seq(recipe.model, source.size, target.size)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-1.0, 1.0)
    save_vocabularies(folder, source, target, recipe)
    save_weights(network, folder / WEIGHTS)
    (folder / RECIPE).write_text(weft.recipe.dump(recipe), "utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny(model_folder: Path) -> Model:
    return load(model_folder)


@pytest.fixture
def client(tiny: Model) -> Iterator[TestClient]:
    with TestClient(
        application(tiny, "tiny", LIMITS, Bounds(waiting_lines=8)), raise_server_exceptions=False
    ) as client:
        yield client


class Gate:
    """A model that answers, in upper case, only once it is `open`, and remembers what it was asked together."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[str]] = []

    def predict(
        self, lines: Iterable[str], n_best: int = 1, attention: bool = False, **search: Any
    ) -> list[Prediction]:
        given = list(lines)
        self.batches.append(given)
        self.entered.set()
        assert self.open.wait(20)
        if "bad" in given:
            raise ValueError("a bad line")
        return [Prediction(line.upper(), -1.0, [], [], "end") for line in given]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def open_gate(gate: Gate) -> Gate:
    gate.open.set()
    return gate
