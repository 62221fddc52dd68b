"""Training steps: target tokens a second of weft and of each peer, from the same pairs, in turns."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.engine import Bench, Program, Record, ratio
from benchmarks.machine import operations
from benchmarks.turns import read_work

OURS = "weft"
PRECISIONS = ("float32", "bf16_products", "bf16")
RAW = "products"
MODELS = ("transformer", "lstm", "lstm_input_feeding", "gru_additive")


def programs(model: str, threads: int) -> list[Program]:
    found = [Program(f"{OURS} {name}", "weft_training", (model, name), threads) for name in PRECISIONS]
    found.append(Program("PyTorch", "plain", (model,), threads))
    if model == "transformer":
        found.append(Program("Transformers", "transformers", ("training",), threads, "transformers"))
        found += [Program(f"{RAW} {name}", "products", (name,), threads) for name in PRECISIONS]
    found.append(Program("JoeyNMT", "joeynmt", ("training", model), threads, "joeynmt"))
    if model != "lstm":  # eole's recurrent decoders always feed back
        found.append(Program("eole", "eole", (model,), threads, "eole"))
    return found


def measure(bench: Bench, models: list[str], threads: int, rounds: int, steps: int) -> Record:
    """Of each model and engine tokens a second, and how many times as fast as it weft is."""
    found: Record = {}
    for model in models:
        print(f"training, {model}, {threads} threads", flush=True)
        with bench.engines(programs(model, threads)) as running:
            answers = bench.rounds(running, rounds, steps=steps)
        found[model] = compared(answers, read_work(str(bench.folder)))
        for name, record in found[model].items():
            print(f"  {name:24}{told(record)}", flush=True)
    return found


def compared(answers: dict[str, list[Record]], work: dict[str, Any]) -> Record:
    rates: dict[str, list[float]] = {}
    raw: dict[str, list[float]] = {}
    for name, each in answers.items():
        if name.startswith(RAW):
            raw[name] = [one["operations"] / one["seconds"] for one in each]
        else:
            rates[name] = [one["tokens"] / one["seconds"] for one in each]
    found: Record = {}
    for name, rate in rates.items():
        last = answers[name]
        found[name] = {
            "tokens_per_second": median(rate),
            "rounds": rate,
            "tokens_per_step": sum(one["tokens"] for one in last) / sum(one["steps"] for one in last),
            "peak_mb": last[-1]["peak_mb"],
        }
        if name.startswith(OURS):
            for share in ("reading", "optimizing"):
                found[name][f"{share}_share"] = median(one[share] / one["seconds"] for one in last)
            of_products = raw.get(name.replace(OURS, RAW))
            if of_products:
                reached = [operations(work, one["source_tokens"], one["tokens"]) / one["seconds"] for one in last]
                found[name]["operations_per_second"] = median(reached)
                found[name]["fraction_of_products"] = ratio(reached, of_products)
        else:
            found[name]["weft_is_faster"] = {ours: ratio(rates[ours], rate) for ours in rates if ours.startswith(OURS)}
    for name, rate in raw.items():
        found[name] = {"operations_per_second": median(rate), "rounds": rate}
    return found


def told(record: Record) -> str:
    if "tokens_per_second" not in record:
        return f"{record['operations_per_second'] / 1e9:8,.0f} GFLOP/s"
    text = f"{record['tokens_per_second']:8,.0f} tokens/s {record['peak_mb']:8,.0f} MB"
    if "fraction_of_products" in record:
        text += f"  {record['fraction_of_products']:.0%} of the products' rate"
    if "reading_share" in record:
        text += f"  reading {record['reading_share']:.1%}, optimiser {record['optimizing_share']:.1%}"
    for ours, times in record.get("weft_is_faster", {}).items():
        text += f"  {ours} {times:.2f} x"
    return text
