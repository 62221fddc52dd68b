"""Where tokens become vectors, and vectors tokens."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.nn.dropout import Dropout
from weft.nn.loss import SmoothedCrossEntropy


class TokenInput(nn.Module):
    """Embeddings scaled by sqrt(E), so that a matrix shared with the output serves both (Vaswani et al. 2017, 3.4)."""

    def __init__(self, size: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.dropout = Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (...,E)."""
        embedded: Tensor = self.dropout(self.embedding(ids) * math.sqrt(self.embedding.embedding_dim))
        return embedded


class SoftmaxOutput(nn.Module):
    """p(y) = softmax(W x + b)."""

    def __init__(self, width: int, size: int, tied_to: TokenInput | None = None) -> None:
        super().__init__()
        self.projection = nn.Linear(width, size)
        nn.init.zeros_(self.projection.bias)
        if tied_to is None:
            nn.init.normal_(self.projection.weight, std=width**-0.5)
        else:
            self.projection.weight = tied_to.embedding.weight

    def forward(self, features: Tensor) -> Tensor:
        """features (N,D) -> log-probabilities (N,V), in float32 at least."""
        scores = self.projection(features)
        if scores.dtype in (torch.bfloat16, torch.float16):
            scores = scores.float()
        return F.log_softmax(scores, -1)

    def loss(self, features: Tensor, gold: Padded, smoothing: float) -> tuple[Tensor, Tensor]:
        """features (B,T,D) -> the sum of cross-entropies in nats over real positions, and their number.

        Sums and counts weigh every token alike, however a batch is split over micro-batches and processes.
        """
        real = gold.mask()
        weight: Tensor = self.projection.weight
        bias: Tensor = self.projection.bias
        if not torch.is_grad_enabled():
            weight, bias = weight.detach(), bias.detach()  # or the gradient would be made in vain
        loss = SmoothedCrossEntropy.apply(features[real], weight, bias, gold.data[real], smoothing)
        return loss, real.sum()
