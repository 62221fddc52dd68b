"""Small models of every family, in every combination, and batches of random ids."""

from __future__ import annotations

import itertools

import torch

from weft.data.batch import Padded, pad
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Embedding, Model, RecurrentDecoder, RecurrentEncoder, TransformerStack

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


def small_model(encoder: str, decoder: str, source: int = 11, target: int = 9, share: str = "target") -> Seq2Seq:
    """In float64, with dropout off."""
    settings = Model(
        width=12, encoder=ENCODERS[encoder], decoder=DECODERS[decoder], embedding=Embedding(share=share, dropout=0.0)
    )
    return Seq2Seq(settings, source, target).double().eval()


def random_ids(lengths: list[int], size: int) -> Padded:
    return pad([torch.randint(4, size, (length,)).tolist() for length in lengths])
