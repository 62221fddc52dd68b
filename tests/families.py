"""Small models of every family, in every combination, and batches of random ids."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from weft.data.batch import Padded, pad
from weft.models.seq2seq import Seq2Seq
from weft.recipe import (
    Attention,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    Embedding,
    Model,
    RecurrentDecoder,
    RecurrentEncoder,
    TransformerDecoder,
    TransformerEncoder,
    WindowEncoder,
)

SMALL: dict[str, Any] = {"heads": 2, "layers": 2, "feed_forward": 24, "dropout": 0.0}
RECURRENT: dict[str, Any] = {"width": 10, "dropout": 0.0}
CONVOLUTIONAL: dict[str, Any] = {"layers": 2, "width": 8, "dropout": 0.0}
MODERN: dict[str, Any] = {"norm_kind": "rms", "activation": "swiglu", "position": "rotary", "key_value_heads": 1}
ADDITIVE = Attention(kind="additive", width=6)

ENCODERS = {
    "gru": RecurrentEncoder(cell="gru", **RECURRENT),
    "lstm2": RecurrentEncoder(cell="lstm", layers=2, **RECURRENT),
    "pre": TransformerEncoder(norm="pre", **SMALL),
    "post": TransformerEncoder(norm="post", activation="gelu", **SMALL),
    "elman": RecurrentEncoder(cell="elman", bidirectional=False, reversed=True, **RECURRENT),
    "conv": ConvolutionalEncoder(**CONVOLUTIONAL),
    "modern": TransformerEncoder(**SMALL, **MODERN),
    "windows": WindowEncoder(widths=[2, 3], channels=5),
}
DECODERS = {
    "gru": RecurrentDecoder(cell="gru", attention=ADDITIVE, **RECURRENT),
    "lstm2": RecurrentDecoder(cell="lstm", layers=2, attention=ADDITIVE, **RECURRENT),
    "pre": TransformerDecoder(norm="pre", **SMALL),
    "post": TransformerDecoder(norm="post", activation="gelu", **SMALL),
    "luong": RecurrentDecoder(
        cell="lstm",
        attention=Attention(kind="general"),
        query="current",
        input_feeding=True,
        readout="tanh",
        **RECURRENT,
    ),
    "fused": RecurrentDecoder(
        cell="elman", layers=2, attention=Attention(kind="general"), query="current", **RECURRENT
    ),
    "conv": ConvolutionalDecoder(attention=Attention(kind="general"), **CONVOLUTIONAL),
    "modern": TransformerDecoder(**SMALL, **MODERN),
    "ssru": TransformerDecoder(past="ssru", **SMALL),
}
FIRST = ["gru", "lstm2", "pre", "post"]
COMBINATIONS = [
    *itertools.product(FIRST, FIRST),
    *itertools.product(ENCODERS.keys() - set(FIRST), ["gru", "pre"]),
    *itertools.product(["gru", "pre"], ["luong", "fused", "modern", "ssru"]),
    ("conv", "conv"),
    ("pre", "conv"),
]
COMBINATIONS.sort()


def small_model(encoder: str, decoder: str, source: int = 11, target: int = 9, share: str = "target") -> Seq2Seq:
    """In float64, with dropout off."""
    settings = Model(
        width=12, encoder=ENCODERS[encoder], decoder=DECODERS[decoder], embedding=Embedding(share=share, dropout=0.0)
    )
    return Seq2Seq(settings, source, target).double().eval()


def random_ids(lengths: list[int], size: int) -> Padded:
    return pad([torch.randint(4, size, (length,)).tolist() for length in lengths])
