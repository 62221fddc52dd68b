"""Every test is seeded, single-threaded, and keeps its cache to itself."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random.seed(1)
    torch.manual_seed(1)
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
