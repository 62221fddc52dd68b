"""Training on a GPU: tokens a second, and the part that they are of the device's own rate of matrix products.

    python -m benchmarks.gpu                 # an NVIDIA GPU; some four minutes
    python -m benchmarks.gpu --quick --device cpu    # does it run?

The Transformer is the base of Vaswani et al. 2017 (512, 6+6 layers, 32,000 pieces), the recurrent network a GRU with
additive attention and input feeding; the pairs are synthetic. It prints what it found and writes gpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from benchmarks import machine
from benchmarks.drivers.weft_training import Training
from benchmarks.engine import Record
from benchmarks.work import QUICK, Size, Work, invented
from weft.files import write_text

BASE = Size(width=512, feed_forward=2048, layers=6, heads=8, vocabulary=32_000, batch_tokens=25_000, pairs=300_000)
RUNS = (("transformer", "bf16"), ("transformer", "float32"), ("gru_additive", "bf16"), ("gru_additive", "float32"))
SIDE = 8192  # of the square matrices whose product is timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu (cuda)")
    parser.add_argument("--steps", type=int, default=30, help="timed in each round (30)")
    parser.add_argument("--rounds", type=int, default=3, help="the median of which counts (3)")
    parser.add_argument("--quick", action="store_true", help="tiny models: does it run?")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-gpu"), help="the folder of what comes out")
    options = parser.parse_args()
    out = options.out.resolve()
    os.environ["WEFT_CACHE"] = str(out / "cache")
    size = QUICK if options.quick else BASE
    train, test = invented(out / "pairs", size)
    work = Work(out, size, train, test)
    work.write()
    device = torch.device(options.device)
    rates = {name: product_rate(device, name, SIDE // 64 if options.quick else SIDE) for name in ("bf16", "float32")}
    found: Record = {"machine": machine.described() | {"device": device_name(device)}, "products": rates}
    for name, rate in rates.items():
        print(f"products in {name}: {rate / 1e12:,.1f} TFLOP/s", flush=True)
    for model, precision in RUNS:
        record = found[f"{model} {precision}"] = trained(out, model, precision, options)
        part = ""
        if model == "transformer":
            record["of_products"] = record["operations_per_second"] / rates[precision]
            part = f", {record['of_products']:.0%} of the products' rate"
        print(f"{model} {precision}: {record['tokens_per_second']:,.0f} target tokens/s{part}", flush=True)
        write_text(out / "gpu.json", json.dumps(found, indent=1))


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else machine.processor()


def product_rate(device: torch.device, precision: str, side: int) -> float:
    """Operations a second of a product of two square matrices, the best of ten; float32 without TF32."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    best = min(seconds_of(device, lambda: one @ other) for _ in range(10))
    return 2 * side**3 / best


def seconds_of(device: torch.device, work: Callable[[], object]) -> float:
    settle(device)
    began = time.perf_counter()
    work()
    settle(device)
    return time.perf_counter() - began


def settle(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def trained(out: Path, model: str, precision: str, options: argparse.Namespace) -> Record:
    training = Training(out, model, precision, options.device)
    shapes = json.loads((out / "work.json").read_text("utf-8"))
    rates, operations, reading = [], [], []
    for _ in range(options.rounds):
        one = training.steps(options.steps)
        rates.append(one["tokens"] / one["seconds"])
        operations.append(machine.operations(shapes, one["source_tokens"], one["tokens"]) / one["seconds"])
        reading.append(one["reading"] / one["seconds"])
    peak = torch.cuda.max_memory_allocated(options.device) / 1e6 if options.device.startswith("cuda") else None
    return {
        "tokens_per_second": median(rates),
        "operations_per_second": median(operations),
        "reading_share": median(reading),
        "peak_mb": peak,
        "rounds": rates,
    }


if __name__ == "__main__":
    main()
