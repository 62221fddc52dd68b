"""Say where the time of a training step and of a decoding step goes, by kind of work, on one thread.

make profile
python -m benchmarks.breakdown --precision bf16_products --model lstm
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.drivers.weft_training import Training
from benchmarks.training import MODELS, PRECISIONS
from benchmarks.work import QUICK, Size, Work, invented
from weft.tasks.text import Model

KINDS = {  # of whatever an operation is part of, the first that fits
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "linear", "mkldnn", "scaled_dot_product", "matmul"),
    "recurrent cells": ("lstm", "gru", "rnn_tanh", "_thnn"),
    "dropout": ("ByteMask", "dropout", "bernoulli_"),
    "optimiser": ("Optimizer.step", "_fused_adam", "_foreach", "linalg_vector_norm", "zero_grad"),
    "softmax and loss": ("SmoothedCrossEntropy", "softmax", "logsumexp", "cross_entropy", "nll_loss"),
    "normalisation": ("layer_norm", "LayerNorm", "rms_norm"),
    "embeddings": ("embedding",),
    "choice of hypotheses": ("topk", "max", "argmax", "sort", "argsort", "nonzero", "item", "gather"),
    "copies": ("copy_", "clone", "cat", "index", "contiguous", "fill_", "zero_", "_to_copy", "stack"),
    "allocation and views": ("empty", "view", "transpose", "reshape", "slice", "select", "as_strided", "chunk",
                             "split", "expand", "detach", "permute", "unbind", "squeeze", "flatten", "narrow", "t",
                             "alias", "_unsafe_view", "resize_", "new_empty"),
}  # fmt: skip
OTHER = "other arithmetic"
PYTHON = "Python, and calls between"


def kind(event: Any) -> str:
    """By the operation itself where it is a product, then by what it is part of."""
    names = []
    while event is not None:
        names.append(event.name.removeprefix("aten::").removeprefix("autograd::engine::evaluate_function: "))
        event = event.cpu_parent
    if fits(names[0], KINDS["matrix products"]):
        return "matrix products"
    for name in names:
        for one, parts in KINDS.items():
            if fits(name, parts):
                return one
    return OTHER


def fits(name: str, parts: tuple[str, ...]) -> bool:
    """Whether the name is one of the parts, or holds one that is long enough to mean something."""
    return any(name == part or (len(part) > 3 and part in name) for part in parts)


def profiled(work: Callable[[], object], times: int) -> dict[str, float]:
    """Seconds of each kind in one `work`; Python is what is left of the time that it takes without a profiler."""
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    whole = (time.perf_counter() - began) / times
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(times):
            work()
    found: dict[str, float] = defaultdict(float)
    for event in seen.events() or ():
        if event.name.startswith(("ProfilerStep", "[memory]")):
            continue
        found[kind(event)] += event.self_cpu_time_total / 1e6 / times
    found[PYTHON] = max(0.0, whole - sum(found.values()))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def show(title: str, found: dict[str, float]) -> None:
    whole = sum(found.values())
    print(f"\n{title}: {1000 * whole:,.1f} ms")
    for name, seconds in found.items():
        print(f"  {name:28}{1000 * seconds:10,.1f} ms {seconds / whole:7.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="transformer", choices=MODELS)
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--out", type=Path, help="where data is kept (runs/profile)")
    parser.add_argument("--quick", action="store_true", help="a tiny model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = (options.out or Path("runs/profile-quick" if options.quick else "runs/profile")).resolve()
    os.environ["WEFT_CACHE"] = str(out / "cache")
    size = QUICK if options.quick else Size()
    work = Work(out, size, *invented(out / "pairs", size))
    work.write()
    training = Training(out, options.model, options.precision)
    show(f"A training step, {options.model}, {options.precision}", profiled(lambda: training.steps(1), 3))
    trainer = training.trainer
    model = Model(trainer.recipe, trainer.network, work.data.source, work.data.target)
    lines = (out / "lines.txt").read_text("utf-8").splitlines()
    for title, part, beam in (
        ("64 sentences, greedy", lines[:64], 1),
        ("64 sentences, a beam of 5", lines[:64], 5),
        ("One sentence, a beam of 5", lines[:1], 5),
    ):
        # hardly trained, it does not end by itself: all outputs are as long
        settings: dict[str, Any] = {"beam": beam, "max_extra": 15, "min_length": 15, "batch_tokens": 8192}
        show(f"{title}, 15 tokens each", profiled(partial(model.predict, part, **settings), 2))


if __name__ == "__main__":
    main()
