"""Probabilities of tags and labels that mean what they say: one temperature, fitted on the development set."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from weft.data.corpus import Corpus
from weft.models.directory import WEIGHTS, save_weights
from weft.models.labels import LabelReader
from weft.models.tags import TagReader
from weft.tasks.evaluate import mean_loss
from weft.tasks.text import load
from weft.training.validation import spread

LOWEST, HIGHEST = 0.2, 5.0
STEPS = 14  # of the search, each of which narrows the logarithm of the range to 0.62 of it
PAIRS = 2000


def calibrate(folder: Path, dev: Corpus, tokens: int, device: str) -> str:
    """Fit the temperature of a run's tags or labels, and say what it is (Guo et al. 2017, section 4.2).

    It changes no order of tags at a place, and is a weight of the model like others.
    """
    model = load(folder, device)
    reader = model.network.decoder
    assert isinstance(reader, TagReader | LabelReader)
    rows = spread(len(dev), PAIRS)

    def loss(logarithm: float) -> float:
        with torch.no_grad():
            reader.temperature.fill_(math.exp(logarithm))
        return mean_loss(model, dev, rows, tokens)

    before = loss(0.0)
    best = lowest(loss, math.log(LOWEST), math.log(HIGHEST))
    after = loss(best)
    save_weights(model.network, folder / WEIGHTS)
    return f"temperature {math.exp(best):.2f}: development loss {before:.4f} without, {after:.4f} with it"


def lowest(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f, which falls and then rises, is lowest: golden-section search (Kiefer 1953)."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = f(left), f(right)
    for _ in range(STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = f(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = f(right)
    return (low + high) / 2
