"""Several processes that predict."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from families import DECODERS, ENCODERS

import weft
import weft.recipe
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.models import directory
from weft.models.seq2seq import Seq2Seq
from weft.tasks import workers
from weft.tasks.workers import Job, Workers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a model with random weights."""
    folder = tmp_path_factory.mktemp("model")
    model = weft.recipe.Model(width=12, encoder=ENCODERS["pre"], decoder=DECODERS["pre"]).model_dump()
    kind = {"shared": True, "source": {"kind": "character", "size": 30}}
    recipe = weft.recipe.checked({"data": {"train": "nowhere.tsv"}, "model": model, "vocabulary": kind}, "test")
    vocabulary = Vocabulary.learn(["abcdef gh"] * 5, recipe.vocabulary.source, "identity", folder / directory.SOURCE)
    torch.manual_seed(1)
    directory.save_weights(Seq2Seq(recipe.model, vocabulary.size, vocabulary.size), folder / directory.WEIGHTS)
    (folder / directory.RECIPE).write_text(weft.recipe.dump(recipe))
    return str(folder)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_same_in_order_and_without_reading_far_ahead(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SHARE", 3)
    (tmp_path / "random.py").write_text("raise RuntimeError")  # which is not Python's own
    monkeypatch.chdir(tmp_path)
    lines = [word * count for count in (1, 3, 2, 4) for word in ("a", "bc", "", "h ", "fed")]
    settings = {"kind": "sample", "seed": 5}  # which goes by the number of the line
    expected = weft.load(folder).predict(lines, n_best=2, attention=True, **settings)
    read = []

    def reading() -> Iterator[str]:
        for line in lines:
            read.append(line)
            yield line

    found = []
    with Workers(2, Job([folder], n_best=2, attention=True, search=settings)) as both:
        for prediction in both.stream(reading()):
            found.append(prediction)
            assert len(read) <= len(found) + 4 * 3
    assert [p.record()["text"] for p in found] == [p.text for p in expected]
    assert [[other.text for other in p.alternatives] for p in found] == [
        [other.text for other in p.alternatives] for p in expected
    ]
    for one, other in zip(found, expected, strict=True):
        if other.attention is not None:
            torch.testing.assert_close(one.attention, other.attention, atol=1e-5, rtol=0)
    assert not any(is_running(worker.process.pid) for worker in both.all)


def test_a_worker_that_dies_is_told_of(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SHARE", 1)
    with Workers(2, Job([folder])) as both:
        stream = both.stream(iter(["abc"] * 50))
        next(stream)
        both.all[1].process.send_signal(signal.SIGKILL)
        with pytest.raises(WeftError, match=r"^worker 2 ended before its lines were done: killed by SIGKILL$"):
            list(stream)
    assert not any(is_running(worker.process.pid) for worker in both.all)


def interrupted(started: list[workers.Worker], folder: str) -> None:
    with Workers(1, Job([folder])) as one:
        started += one.all
        next(one.stream(["abc"]))
        raise KeyboardInterrupt


def test_an_interruption_leaves_no_worker(folder: str) -> None:
    started: list[workers.Worker] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(started, folder)
    assert [is_running(worker.process.pid) for worker in started] == [False]


def test_a_worker_ends_with_the_process_that_asks_it(folder: str) -> None:
    with Workers(1, Job([folder])) as one:
        list(one.stream(["abc"]))
        one.all[0].process.stdin.close()
        assert one.all[0].process.wait(60) == 0


def test_what_a_worker_finds_wrong_is_told(tmp_path: Path, folder: str) -> None:
    with Workers(1, Job([str(tmp_path / "none")])) as one, pytest.raises(WeftError, match="no such model directory"):
        list(one.stream([]))
    with Workers(1, Job([folder], search={"beem": 3})) as one, pytest.raises(WeftError, match="did you mean 'beam'"):
        list(one.stream(["ab"]))
