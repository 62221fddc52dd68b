"""What several test files need: small models of every family, and batches of random ids."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from weft.data.batch import Padded, pad
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Embedding, Model, RecurrentDecoder, RecurrentEncoder, TransformerStack

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

SMALL = {"heads": 2, "layers": 2, "feed_forward": 24, "dropout": 0.0}
RECURRENT = {"width": 10, "dropout": 0.0}

ENCODERS = {
    "gru": RecurrentEncoder(cell="gru", **RECURRENT),
    "lstm2": RecurrentEncoder(cell="lstm", layers=2, **RECURRENT),
    "pre": TransformerStack(norm="pre", **SMALL),
    "post": TransformerStack(norm="post", activation="gelu", **SMALL),
}
DECODERS = {
    "gru": RecurrentDecoder(cell="gru", attention_width=6, **RECURRENT),
    "lstm2": RecurrentDecoder(cell="lstm", layers=2, attention_width=6, **RECURRENT),
    "pre": TransformerStack(norm="pre", **SMALL),
    "post": TransformerStack(norm="post", activation="gelu", **SMALL),
}
COMBINATIONS = list(itertools.product(ENCODERS, DECODERS))


@pytest.fixture(autouse=True)
def seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts from the same random state, and keeps its cache to itself."""
    random.seed(1)
    torch.manual_seed(1)
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    yield


def small_model(encoder: str, decoder: str, source: int = 11, target: int = 9, share: str = "target") -> Seq2Seq:
    """In float64, with dropout off."""
    settings = Model(
        width=12, encoder=ENCODERS[encoder], decoder=DECODERS[decoder], embedding=Embedding(share=share, dropout=0.0)
    )
    return Seq2Seq(settings, source, target).double().eval()


def random_ids(lengths: list[int], size: int) -> Padded:
    return pad([torch.randint(4, size, (length,)).tolist() for length in lengths])
