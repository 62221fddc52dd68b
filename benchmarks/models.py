"""Trained models beside each other on the same lines, and beside CTranslate2 of one of them, on one thread each.

    python -m benchmarks.models lines.txt one=runs/a both=runs/a,runs/b "small int8=runs/c@int8" --ctranslate2 runs/a

All are asked in turns, greedy and with a beam of 5. It writes results.json: of each model and beam what it said, and
how many sentences in a second of its processor time, which is also right where other work keeps the machine busy.
CTranslate2 takes part where it is installed (README.md), with pre-norm Transformers of one embedding for all.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import weft
from benchmarks.engine import Bench, Engine, Program
from benchmarks.work import write_ids
from weft.data.vocabulary import Vocabulary
from weft.files import write_text
from weft.models import directory
from weft.tasks.text import Model

RESULTS = "results.json"
BEAMS = (1, 5)
LONGEST = 100  # tokens of an output of CTranslate2


@dataclass(frozen=True)
class Contestant:
    """One model, or the ensemble of several."""

    name: str
    runs: list[str]
    weights: str

    @classmethod
    def of(cls, text: str) -> Contestant:
        """From NAME=RUN[,RUN...][@int8]."""
        name, _, place = text.partition("=")
        runs, _, weights = place.partition("@")
        return cls(name, [str(Path(run).resolve()) for run in runs.split(",")], weights or "float32")

    def program(self) -> Program:
        return Program(self.name, "weft_decoding", (self.weights, *self.runs))


@dataclass(frozen=True)
class Point:
    """What one engine did with one beam."""

    name: str
    beam: int
    sentences_per_second: float
    rounds: list[float]
    peak_mb: float
    outputs: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", help="a file of lines to decode")
    parser.add_argument("models", nargs="+", metavar="NAME=RUN", help="RUN,RUN: an ensemble; RUN@int8: weights in int8")
    parser.add_argument("--ctranslate2", metavar="RUN", help="the model that CTranslate2 gets, in float32 and int8")
    parser.add_argument("--out", default="runs/beside", help="the folder of what comes out (runs/beside)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is asked (5)")
    parser.add_argument("--timed", type=int, help="time it on so many of the lines, the first (all)")
    options = parser.parse_args()
    contestants = [Contestant.of(text) for text in options.models]
    lines = Path(options.lines).read_text("utf-8").splitlines()
    measure(Path(options.out), lines, contestants, options.ctranslate2, options.rounds, options.timed)


def measure(
    out: Path, lines: list[str], contestants: list[Contestant], converted: str | None, rounds: int, timed: int | None
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "lines.txt", "".join(f"{line}\n" for line in lines))
    vocabularies = {contestant.name: vocabulary(contestant.runs[0]) for contestant in contestants}
    programs = [contestant.program() for contestant in contestants]
    shapes: dict[str, Any] = {"single": 0, "timed": timed, "longest": LONGEST}
    if converted:
        model = weft.load(converted)
        assert isinstance(model, Model)
        shapes |= shared_shapes(model)
        write_ids(out / "test.source", model.source.encode_lines(lines))
        tensors = directory.read_tensors(Path(converted) / directory.WEIGHTS)
        np.savez(out / "weights.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})  # type: ignore[arg-type]
        for kind in ("float32", "int8"):
            programs.append(Program(f"CTranslate2 {kind}", "ctranslate2", (kind, "1"), package="ctranslate2"))
            vocabularies[programs[-1].name] = model.target
    write_text(out / "work.json", json.dumps(shapes, indent=1))
    bench = Bench(out.resolve())
    with bench.engines(programs) as running:
        points = [point for beam in BEAMS for point in asked(bench, running, vocabularies, beam, rounds)]
    for name in sorted(bench.absent):
        print(f"{name} is not installed", flush=True)
    write_text(out / RESULTS, json.dumps([asdict(point) for point in points], ensure_ascii=False, indent=1))


def vocabulary(run: str) -> Vocabulary:
    return directory.load_vocabularies(Path(run), weft.recipe.load(Path(run) / directory.RECIPE))[1]


def shared_shapes(model: Model) -> dict[str, Any]:
    settings = model.recipe.model
    assert settings.encoder.kind == "transformer" and settings.decoder.kind == "transformer"
    if settings.encoder.layers != settings.decoder.layers or settings.embedding.share != "all":
        raise weft.WeftError("CTranslate2 is given Transformers of as many layers on both sides, with one embedding")
    return {
        "layers": settings.decoder.layers,
        "heads": settings.decoder.heads,
        "width": settings.width,
        "vocabulary": model.target.size,
        "bos": Vocabulary.bos,
        "eos": Vocabulary.eos,
        "unk": Vocabulary.unk,
    }


def asked(
    bench: Bench, running: dict[str, Engine], vocabularies: dict[str, Vocabulary], beam: int, rounds: int
) -> list[Point]:
    said = bench.rounds(running, 1, beam=beam, bulk=True, outputs=True)
    answers = bench.rounds(running, rounds, beam=beam, bulk=True)
    points = []
    for name, each in answers.items():
        rates = [answer["sentences"] / answer["cpu_seconds"] for answer in each]
        ids = [[int(i) for i in line.split()] for line in said[name][0]["outputs"]]
        texts = [vocabularies[name].decode(one) for one in ids]
        points.append(Point(name, beam, median(rates), rates, each[-1]["peak_mb"], texts))
        print(f"  {name:24} beam {beam}: {median(rates):8.1f}, batches of {each[-1]['batch']:,}", flush=True)
    return points


if __name__ == "__main__":
    main()
