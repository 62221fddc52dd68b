"""Nothing but the matrix products of a Transformer's training step: what the machine can do at these shapes.

Arguments: folder, precision.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch

from benchmarks.turns import Turns, read_work


def shapes(work: dict[str, Any]) -> list[tuple[int, int, int]]:
    """(in, out, times) of the matrices that every position of a batch goes through."""
    width, wide, layers = work["width"], work["feed_forward"], work["layers"]
    return [
        (width, width, 6 * layers),  # queries, and what leaves attentions
        (width, 2 * width, 3 * layers),  # keys and values
        (width, wide, 2 * layers),
        (wide, width, 2 * layers),
        (width, work["vocabulary"], 1),
    ]


class Products:
    def __init__(self, work: dict[str, Any], precision: str) -> None:
        torch.set_float32_matmul_precision("medium" if precision == "bf16_products" else "highest")
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        rows = int(0.9 * work["batch_tokens"])  # real ones
        self.matrices = [
            (*(torch.randn(size, dtype=kind) for size in ((rows, into), (out, into), (rows, out))), times)
            for into, out, times in shapes(work)
        ]
        self.results = [tuple(map(torch.empty_like, three)) for *three, _ in self.matrices]  # or pages are made anew
        self.operations = sum(6.0 * x.numel() * len(weight) * times for x, weight, _, times in self.matrices)
        self.steps(1)

    def products(self) -> None:
        """y = x W^T and the products of its two gradients, for all matrices."""
        for (x, weight, upstream, times), (to_x, to_weight, y) in zip(self.matrices, self.results, strict=True):
            for _ in range(times):
                torch.mm(x, weight.T, out=y)
                torch.mm(upstream, weight, out=to_x)
                torch.mm(upstream.T, x, out=to_weight)

    @torch.inference_mode()
    def steps(self, steps: int) -> dict[str, Any]:
        began = time.perf_counter()
        for _ in range(steps):
            self.products()
        return {"seconds": time.perf_counter() - began, "operations": steps * self.operations, "steps": steps}


if __name__ == "__main__":
    turns = Turns()
    turns.serve(Products(read_work(sys.argv[1]), sys.argv[2]).steps)
