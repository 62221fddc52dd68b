"""Two processes are as good as one: the same losses, the same run, and neither goes on without the other."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from learning import write_pairs
from torch.torch_version import TorchVersion

import weft
import weft.recipe
from weft.data.batch import pad
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.models.directory import read_tensors
from weft.training.distributed import Processes, together
from weft.training.parallel import check

RANKS = Path(__file__).with_name("ranks.py")
PATIENCE = 300  # seconds that two processes may take on a slow machine
STACK = {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 32, "dropout": 0.0}

pytestmark = pytest.mark.timeout(2 * PATIENCE)


def quiet(_line: str) -> None:
    pass


@dataclass
class Place:
    """A folder with pairs, recipes and runs, and what processes said that trained there."""

    folder: Path
    said: str = ""

    def recipe(self, name: str = "plain", **sections: Any) -> Path:
        """Adam's epsilon is large, for small gradients are rounding errors, which other sums round differently."""
        write_pairs(self.folder / "pairs.tsv", 240, lambda x: x[::-1])
        recipe = {
            "out": str(self.folder / "runs"),
            "data": {"train": str(self.folder / "pairs.tsv"), "dev_fraction": 0.2},
            "vocabulary": {"source": {"kind": "word", "size": 20}, "target": {"kind": "word", "size": 20}},
            "model": {"width": 16, "embedding": {"dropout": 0.0}, "encoder": STACK, "decoder": STACK},
            "training": {
                "steps": 16,
                "batch_tokens": 128,
                "save_every": 4,
                "threads": 1,
                "device": "cpu",
                "optimizer": {"learning_rate": 0.01, "epsilon": 1e-3},
                "schedule": {"kind": "constant", "warmup": 4},
            },
            "validation": {"every": 8, "metrics": ["line_error_rate"], "items": 8},
        }
        for section, settings in sections.items():
            recipe[section] = {**recipe[section], **settings}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path

    def run(self, name: str) -> Path:
        return self.folder / "runs" / name

    def environment(self) -> dict[str, str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
        return {**os.environ, **there, "OMP_NUM_THREADS": "1", "WEFT_CACHE": str(self.folder / "cache")}

    def train(self, *words: object, expected: tuple[int, int] = (0, 0)) -> None:
        """Train with two processes to their end, each with these arguments; they must exit as expected."""
        command = [sys.executable, str(RANKS), *map(str, words)]
        environment = self.environment()
        both = [
            subprocess.Popen(
                command,
                env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        try:
            if expected[1] == -signal.SIGSTOP:
                said = [both[0].communicate(timeout=PATIENCE)[1]]
                both[1].kill()
                expected = expected[0], -signal.SIGKILL
                both[1].communicate(timeout=PATIENCE)
            else:
                said = [process.communicate(timeout=PATIENCE)[1] for process in both]
        finally:
            for process in both:
                process.kill()
                process.wait()
        self.said = "\n".join(said)
        assert tuple(process.returncode for process in both) == expected, self.said

    def alone(self, recipe: Path, *overrides: str) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("WEFT_CACHE", str(self.folder / "cache"))
            weft.train(recipe, *overrides, say=quiet)

    def records(self, run: str, event: str) -> list[dict[str, Any]]:
        lines = (self.run(run) / "log.jsonl").read_text().splitlines()
        return [record for record in map(json.loads, lines) if record["event"] == event]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Undisturbed runs by one process and by two, and runs that one began and the other went on with."""
    place = Place(tmp_path_factory.mktemp("trained"))
    plain = place.recipe()
    dropped = {"encoder": {**STACK, "layer_drop": 0.4}, "decoder": {**STACK, "dropout": 0.2}}
    noisy = place.recipe("noisy", model=dropped, data={"noise": {"drop": 0.1, "target_drop": 0.1}})
    cell = {"kind": "rnn", "width": 16, "dropout": 0.0}
    recurrent = place.recipe("recurrent", model={"encoder": cell, "decoder": cell})
    half, sharded = "training.steps=8", "training.parallel=sharded"
    place.alone(plain, "name=one")
    place.alone(recurrent, "name=recurrent-one", "training.steps=4")
    place.alone(plain, "name=one-two", half)
    trainings = [
        ("none", plain, "name=two"),
        ("none", plain, "name=two-one", half),
        ("none", plain, "name=one-two"),
        ("none", plain, "name=shards", sharded, half),
        ("none", plain, "name=shards"),
        ("none", recurrent, "name=recurrent-shards", sharded, "training.steps=4"),
        ("memory", plain, "name=memory"),
        ("none", noisy, "name=noisy"),
        ("sigterm", noisy, "name=noisy-cut"),
        ("none", noisy, "name=noisy-cut"),
        ("nan", plain, "name=nan"),
    ]
    words = [word for training in trainings for word in ("--", *training)]
    place.train(*words[1:], expected=(2, 2))
    place.alone(plain, "name=two-one")
    return place


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(run / "checkpoints" / "00000016.safetensors")


@pytest.mark.parametrize("other", ["two", "one-two", "two-one", "shards", "memory"])
def test_the_same_batch_gives_the_same_run(trained: Place, other: str) -> None:
    losses = [[record["loss"] for record in trained.records(run, "validation")] for run in ("one", other)]
    assert len(losses[0]) == 2
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weights(trained.run(other)), weights(trained.run("one")), rtol=1e-3, atol=1e-4)


def test_a_recurrent_model_can_be_sharded(trained: Place) -> None:
    losses = [trained.records(run, "validation")[0]["loss"] for run in ("recurrent-one", "recurrent-shards")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("run", ["two", "shards"])
def test_the_run_is_like_that_of_one_process(trained: Place, run: str) -> None:
    one = {path.relative_to(trained.run("one")).as_posix() for path in trained.run("one").rglob("*") if path.is_file()}
    there = {path.relative_to(trained.run(run)).as_posix() for path in trained.run(run).rglob("*") if path.is_file()}
    hidden = {name for name in one | there if name.startswith(("tensorboard/", "."))}
    assert there - hidden == one - hidden
    model = weft.load(trained.run(run))
    assert model.predict(["a b"])[0].finish_reason in ("end", "length")
    assert len(trained.records(run, "start")) == 1
    assert [record["step"] for record in trained.records(run, "end")][-1] == 16


def test_what_one_process_has_no_memory_for_all_take_in_smaller_parts(trained: Place) -> None:
    said = [record["message"] for record in trained.records("memory", "note")]
    assert said and "out of memory" in said[0]
    (state,) = (trained.run("memory") / "training").glob("state-*")
    assert json.loads((state / "progress.json").read_text())["micro_batches"] >= 4


def test_a_signal_to_one_process_stops_all_where_they_can_go_on_exactly(trained: Place) -> None:
    assert trained.said.count("weft: interrupted by SIGTERM; saved at step 7") == 1
    assert trained.said.count("ends with 130") == 2
    noisy, cut = trained.run("noisy"), trained.run("noisy-cut")
    assert [record["step"] for record in trained.records("noisy-cut", "resume")] == [7]
    assert (cut / "model.safetensors").read_bytes() == (noisy / "model.safetensors").read_bytes()


def test_a_gradient_that_is_no_number_in_one_process_stops_all(trained: Place) -> None:
    assert trained.said.count("weft: stopped at step 3: 3 steps in a row gave loss nan") == 1
    assert trained.said.count("ends with 2") == 2
    rows = [json.loads(line)["row"] for line in (trained.run("nan") / "bad-batch.jsonl").read_text().splitlines()]
    assert len(set(rows)) == len(rows) > 2


LOST = {
    "sigkill": (-signal.SIGKILL, "killed, or it hangs"),
    "sigstop": (-signal.SIGSTOP, "killed, or it hangs"),
}


@pytest.mark.parametrize("disturbance", LOST)
def test_a_lost_process_ends_the_others_with_its_name(tmp_path: Path, disturbance: str) -> None:
    place = Place(tmp_path)
    recipe = place.recipe()
    exit_code, how = LOST[disturbance]
    wait = "training.wait=0.4"
    place.train(disturbance, recipe, wait, expected=(1, exit_code))
    host = re.escape(socket.gethostname())
    assert re.search(rf"weft: rank 1 \({host}\) is lost: {how}\. Rank 0 \({host}\) was waiting in: ", place.said)
    assert re.search(r"waiting in: (gradient|start) of step 1[01]\. The last state is whole", place.said)
    assert "Traceback" not in place.said
    if disturbance == "sigkill":
        place.alone(recipe)
        assert [record["step"] for record in place.records("plain", "resume")] == [8]


def test_torchrun_ends_with_an_error_and_says_what_a_process_died_of(tmp_path: Path) -> None:
    place = Place(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", RANKS]
    environment = {name: value for name, value in place.environment().items() if not name.startswith(("MASTER", "WOR"))}
    result = subprocess.run(
        [*command, "fault", place.recipe()], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert result.returncode != 0
    assert re.search(r"weft: rank 1 \(.+\) is lost: ValueError: a fault of its own\. Rank 0", result.stderr)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("started")
def test_what_torchrun_sets_must_all_be_there() -> None:
    with pytest.raises(WeftError, match=r"WORLD_SIZE is 2, but MASTER_PORT is not set"), together():
        pass


def test_a_pytorch_that_cannot_shard_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = weft.recipe.load(Place(tmp_path).recipe(), ["training.parallel=sharded"])
    two: Any = SimpleNamespace(alone=False, number=2)
    check(recipe, two)
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.6.0"))
    with pytest.raises(WeftError, match=r"needs PyTorch 2\.7 or later; this is 2\.6\.0"):
        check(recipe, two)


def test_a_process_alone_needs_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    with together() as processes:
        assert processes.alone and processes.sums("here", 2, 0.5) == [2, 0.5]


def test_each_process_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [Processes(rank, 4, rank).device("auto").index for rank in (0, 1)] == [0, 1]
    with pytest.raises(WeftError, match="rank 2 is process 3 of its machine, which has 2 CUDA devices"):
        Processes(2, 4, 2).device("cuda")
    with pytest.raises(WeftError, match="each on a device of its own"):
        Processes(1, 4, 1).device("cuda:1")


def test_parts_of_a_batch_are_all_of_it_and_may_be_empty() -> None:
    rows = torch.arange(5).numpy()
    shares = [Processes(rank, 7, rank).share(rows).tolist() for rank in range(7)]
    assert sorted(chain(*shares)) == rows.tolist() and shares[5:] == [[], []]
    assert pad([], first=Vocabulary.bos).data.shape == (0, 1)
