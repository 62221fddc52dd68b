"""A model that says some tokens only, with an output layer for these alone.

N hypotheses, K tokens that may be said, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from weft.data.batch import Padded
from weft.models.packed import Packed
from weft.models.product import Product
from weft.models.seq2seq import Seq2Seq
from weft.nn.ends import SoftmaxOutput


class Shortlisted:
    """A StepModel whose token k is token ids[k] of the model's."""

    def __init__(self, model: Seq2Seq | Packed, ids: Tensor) -> None:
        """ids (K,); the model's output is a softmax that copies nothing."""
        network = model.network if isinstance(model, Packed) else model
        assert type(network.output) is SoftmaxOutput
        self.model, self.ids = model, ids
        projection = network.output.projection
        weight, bias = projection.weight.detach()[ids], projection.bias.detach()[ids]
        narrow = Product([(weight, bias)]) if isinstance(model, Packed) else partial(F.linear, weight=weight, bias=bias)
        self.output: Callable[[Tensor], Tensor] = narrow

    def start(self, source: Padded) -> tuple[Any, Any]:
        return self.model.start(source)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        """tokens (N,) of the K -> log-probabilities (N,K), which sum to one over these."""
        features, weights, state = self.model.advance(self.ids[tokens], state, fixed)
        scores = self.output(features)
        return F.log_softmax(scores.float() if scores.element_size() < 4 else scores, -1), weights, state
