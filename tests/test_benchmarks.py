"""The benchmarks run, and say what they measured; how fast anything is, no test asks."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import synthetic
from benchmarks.engine import PEERS, Bench, Engine, EngineError, Program, ratio, turned
from benchmarks.machine import operations
from benchmarks.training import compared
from benchmarks.work import QUICK, Work, invented
from weft.data.batch import pad
from weft.models.seq2seq import Seq2Seq

ROOT = Path(__file__).parent.parent


def measured(module: str, options: str, out: Path, results: str) -> Any:
    """What a benchmark, run as a command, wrote into `out`."""
    result = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *options.split(), "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=190,
    )
    assert result.returncode == 0, result.stderr
    return json.loads((out / results).read_text("utf-8"))


@pytest.mark.timeout(200)
def test_a_tiny_run_of_weft_alone_writes_what_it_measured(tmp_path: Path) -> None:
    options = "--quick --only training,decoding --models transformer --engines weft --threads 1 --rounds 2 --steps 1"
    found = measured("bench", options, tmp_path, "results.json")
    assert found["failed"] == {}
    trained = found["training"]["transformer"]
    assert set(trained) == {"weft float32", "weft bf16_products", "weft bf16"}
    for record in trained.values():
        assert len(record["rounds"]) == 2 and min(record["rounds"]) <= record["tokens_per_second"]
        assert 0 < record["reading_share"] < 1 and 0 < record["optimizing_share"] < 1 and record["peak_mb"] > 10
    for task in ("greedy_bulk", "beam5_bulk", "greedy_single", "beam5_single"):
        assert set(found["decoding"][task]) == {"weft, 1 thread", "weft int8, 1 thread"}
    assert found["decoding"]["same_as_weft"]["weft, 1 thread"] == 1.0
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.timeout(200)
def test_the_benchmark_of_gpus_runs_on_any_device(tmp_path: Path) -> None:
    options = "--quick --device cpu --rounds 1 --steps 1"
    found = measured("gpu", options, tmp_path, "gpu.json")
    assert 0 < found["transformer float32"]["of_products"] < 1
    assert all(found[f"gru_additive {name}"]["tokens_per_second"] > 0 for name in found["products"])


def test_a_peer_that_is_not_installed_is_said_to_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PEERS, raising=False)
    bench = Bench(tmp_path)
    with bench.engines([Program("none", "plain", package="no_such_package")]) as running:
        assert running == {}
    assert bench.absent == {"no_such_package"} and bench.failed == {}


def test_an_interpreter_without_the_peer_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PEERS, f"no_such_package={sys.executable} torch={sys.executable}")
    assert Program("none", "plain", package="no_such_package").interpreter() is None
    assert Program("some", "plain", package="torch").interpreter() == sys.executable


def test_an_engine_that_fails_is_named_with_its_last_words_and_the_rest_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.engines([Program("broken", "no_such_driver")]) as running:
        assert running == {}
    assert "no_such_driver" in bench.failed["broken"]


def test_an_engine_that_ends_in_its_turn_is_an_error(tmp_path: Path) -> None:
    invented_work(tmp_path)
    engine = Engine(Program("products", "products", ("float32",)), sys.executable, tmp_path)
    engine.wait_until_ready()
    assert engine.ask(steps=1)["operations"] > 0
    with pytest.raises(EngineError, match="unexpected keyword"):
        engine.ask(nonsense=1)
    engine.close()


def invented_work(folder: Path) -> Work:
    work = Work(folder, QUICK, *invented(folder / "pairs", QUICK))
    work.write()
    return work


def test_work_is_the_same_tokens_for_all(tmp_path: Path) -> None:
    work = invented_work(tmp_path)
    sources, batches = (tmp_path / "train.source").read_text().splitlines(), tmp_path / "batches.json"
    assert [int(i) for i in sources[3].split()] == work.data.train.source(3).tolist()
    rows = [row for batch in json.loads(batches.read_text()) for row in batch]
    assert sorted(rows) == list(range(len(work.data.train)))


def test_operations_are_those_of_the_matrices(tmp_path: Path) -> None:
    work = invented_work(tmp_path)
    network = Seq2Seq(work.recipe("transformer").model, work.data.source.size, work.data.target.size)
    counted = 0

    def count(layer: nn.Linear, given: tuple[torch.Tensor], _: torch.Tensor) -> None:
        nonlocal counted
        counted += given[0].numel() // layer.in_features * layer.weight.numel()

    for part in network.modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(count)
    features, _ = network(pad([[5, 6, 7, 3]] * 2), pad([[2, 5, 6]] * 2))
    network.output.projection(features)
    shapes = json.loads((tmp_path / "work.json").read_text())
    assert operations(shapes, source=8, target=6) == 6 * counted


def test_ratios_are_medians_over_rounds() -> None:
    assert ratio([2.0, 30.0, 8.0], [1.0, 3.0, 2.0]) == 4.0
    answers = {
        "weft float32": [answer(100, 1.0), answer(100, 2.0)],
        "PyTorch": [answer(50, 1.0), answer(50, 2.0)],
    }
    found = compared(answers, {})
    assert found["PyTorch"]["weft_is_faster"] == {"weft float32": 2.0}
    assert found["weft float32"]["optimizing_share"] == pytest.approx(0.075)


def answer(tokens: int, seconds: float) -> dict[str, float]:
    return {"tokens": tokens, "seconds": seconds, "steps": 1, "peak_mb": 1, "reading": 0.01, "optimizing": 0.1}


def test_each_engine_begins_a_round_in_turn() -> None:
    assert [turned(["a", "b", "c"], n)[0] for n in range(4)] == ["a", "b", "c", "a"]


def test_invented_pairs_are_the_same_each_time_and_as_long_as_captions() -> None:
    pairs = list(synthetic.pairs(300, 7))
    assert pairs == list(synthetic.pairs(300, 7)) != list(synthetic.pairs(300, 8))
    lengths = [len(source.split()) for source, _ in pairs]
    assert 8 < sum(lengths) / len(lengths) < 16
    assert all(len(source.split()) == len(target.split()) for source, target in islice(pairs, 50))
