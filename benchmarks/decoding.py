"""Decoding with the same weights: in bulk and one sentence at a time, greedy and with a beam, on one thread or two."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.engine import Bench, Engine, EngineError, Program, Record, ratio

OURS = "weft"
BEAMS = {"greedy": 1, "beam5": 5}
SLOW = 8.0  # seconds; an engine whose first round takes longer is not asked again


def programs(threads: Sequence[int]) -> list[Program]:
    found = []
    for count in threads:
        label = f"{count} thread{'s' * (count > 1)}"
        found += [
            Program(f"{OURS}, {label}", "weft_decoding", ("float32",), count),
            Program(f"{OURS} int8, {label}", "weft_decoding", ("int8",), count),
            Program(f"CTranslate2 float32, {label}", "ctranslate2", ("float32", "1"), count, "ctranslate2"),
            Program(f"CTranslate2 int8, {label}", "ctranslate2", ("int8", "1"), count, "ctranslate2"),
        ]
    most = max(threads)
    if most > 1:
        found += [
            Program(f"CTranslate2 {kind}, {most} workers", "ctranslate2", (kind, str(most)), 1, "ctranslate2")
            for kind in ("float32", "int8")
        ]
    label = f"{most} thread{'s' * (most > 1)}"
    return [
        *found,
        Program(f"Transformers, {label}", "transformers", ("decoding",), most, "transformers"),
        Program(f"JoeyNMT, {label}", "joeynmt", ("decoding",), most, "joeynmt"),
    ]


def measure(bench: Bench, threads: Sequence[int], rounds: int) -> Record:
    found: Record = {}
    with bench.engines(programs(threads)) as running:
        found["same_as_weft"] = agreement(bench, running)
        for beam, width in BEAMS.items():
            for way in ("bulk", "single"):
                print(f"decoding, {beam}, {way}", flush=True)
                asked = {name: engine for name, engine in running.items() if way == "bulk" or "workers" not in name}
                answers = in_turns(bench, running, asked, rounds, beam=width, bulk=way == "bulk")
                found[f"{beam}_{way}"] = compared(answers, way == "bulk")
                for name, record in found[f"{beam}_{way}"].items():
                    print(f"  {name:32}{told(record)}", flush=True)
    return found


def in_turns(
    bench: Bench, running: dict[str, Engine], asked: dict[str, Engine], rounds: int, **request: object
) -> dict[str, list[Record]]:
    """As `Bench.rounds`, but slow engines once."""
    first = bench.rounds(asked, 1, **request)
    quick = {name: asked[name] for name, answers in first.items() if took(answers[0]) < SLOW}
    rest = bench.rounds(quick, rounds - 1, **request)
    for name in [name for name in running if name in bench.failed]:
        del running[name]
    return {name: answers + rest.get(name, []) for name, answers in first.items() if name not in bench.failed}


def took(answer: Record) -> float:
    return float(answer.get("seconds", answer.get("p50_ms", 0.0) / 10))


def agreement(bench: Bench, running: dict[str, Engine]) -> dict[str, float]:
    """The share of sentences that each engine says as weft does, with the beam: the weights are the same."""
    said: dict[str, list[str]] = {}
    for name, engine in list(running.items()):
        try:
            said[name] = engine.ask(beam=BEAMS["beam5"], bulk=True, outputs=True)["outputs"]
        except EngineError as error:
            bench.drop(running, name, error)
    ours = next(outputs for name, outputs in said.items() if name.startswith(OURS))
    shares = {
        name: sum(one == other for one, other in zip(ours, outputs, strict=True)) / len(ours)
        for name, outputs in said.items()
    }
    for name, share in shares.items():
        print(f"  {name:32}{share:7.1%} of outputs as weft's", flush=True)
    return shares


def compared(answers: dict[str, list[Record]], bulk: bool) -> Record:
    """Sentences a second or milliseconds a sentence, and by how many times weft's best setting is better."""
    figures = {
        name: [one["sentences"] / one["seconds"] if bulk else one["p50_ms"] for one in each]
        for name, each in answers.items()
    }
    key = "sentences_per_second" if bulk else "p50_ms"
    found: Record = {
        name: {key: median(each), "rounds": each, "peak_mb": answers[name][-1]["peak_mb"]}
        for name, each in figures.items()
    }
    mine = [name for name in figures if name.startswith(OURS)]
    if not mine:
        return found
    best = (max if bulk else min)(mine, key=lambda name: median(figures[name]))
    for name, each in figures.items():
        if bulk:
            found[name]["batch"] = answers[name][-1]["batch"]
        if name not in mine:
            ours = figures[best][: len(each)]
            found[name]["weft_is_better"] = ratio(ours, each) if bulk else ratio(each, ours)
    return found


def told(record: Record) -> str:
    if "p50_ms" in record:
        text = f"{record['p50_ms']:8.2f} ms"
    else:
        text = f"{record['sentences_per_second']:8.1f} sentences/s, batches of {record['batch']:,}"
    better = f"  weft's best: {record['weft_is_better']:.2f} x" if "weft_is_better" in record else ""
    return f"{text} {record['peak_mb']:8,.0f} MB{better}"
