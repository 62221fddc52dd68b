"""The machine, and the arithmetic that a training step needs."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch


def described() -> dict[str, Any]:
    """What stands beside every figure; the name of the machine is not in it."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def operations(work: dict[str, Any], source: int, target: int) -> float:
    """Of the matrix products of a Transformer's training step over so many real tokens, without those of attention.

    A product with a matrix of n weights takes 2n operations for a token forwards, and twice that backwards.
    """
    width, wide, layers = work["width"], work["feed_forward"], work["layers"]
    encoder = layers * (4 * width**2 + 2 * width * wide) + layers * 2 * width**2  # and keys, values of its memory
    decoder = layers * (6 * width**2 + 2 * width * wide) + width * work["vocabulary"]
    return float(6 * (source * encoder + target * decoder))
