"""Where tokens become vectors, and vectors tokens.

B sentences, N rows, S source length, T target length, D width of features, E of embeddings, H heads, V vocabulary.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.nn.dropout import Dropout
from weft.nn.loss import SmoothedCrossEntropy
from weft.recipe import Embedding


class TokenInput(nn.Module):
    """Embeddings, scaled up by sqrt(E) so that a matrix shared with the output serves both (Vaswani et al. 2017, 3.4).

    Scaled `none`, the values are near one as they are; scaled `down`, they stay small, and so are the positions that
    are added to them (Csordas et al. 2021).
    """

    def __init__(self, size: int, width: int, settings: Embedding, own_width: int | None = None) -> None:
        super().__init__()
        own = own_width or width
        self.embedding = nn.Embedding(size, own)
        nn.init.normal_(self.embedding.weight, std=1.0 if settings.scale == "none" else own**-0.5)
        self.factor = math.sqrt(own) if settings.scale == "up" else 1.0
        self.project = nn.Linear(own, width, bias=False) if own_width else None
        self.tokens = Dropout(settings.tokens)
        self.dropout = Dropout(settings.dropout)

    def sequence(self, source: Padded) -> Padded:
        """source.data (B,S) -> data (B,S,width)."""
        return Padded(self(source.data), source.lengths)

    def types(self) -> Tensor | None:
        """(V,1) what the embedding of each type is multiplied by while training; None where none is dropped."""
        return self.tokens(torch.ones_like(self.embedding.weight[:, :1])) if self.training and self.tokens.p else None

    def forward(self, ids: Tensor, types: Tensor | None = None) -> Tensor:
        """(...) -> (...,width); `types` are drawn anew where they are not given."""
        embedded: Tensor = self.embedding(ids)
        if self.factor != 1.0:
            embedded = embedded * self.factor
        if (kept := self.types() if types is None else types) is not None:
            embedded = embedded * kept[ids]
        if self.project:
            embedded = self.project(embedded)
        dropped: Tensor = self.dropout(embedded)
        return dropped


class SoftmaxOutput(nn.Module):
    """p(y) = softmax(W x + b)."""

    needs_weights = False

    def __init__(self, width: int, size: int, tied_to: TokenInput | None = None) -> None:
        super().__init__()
        self.projection = nn.Linear(width, size)
        nn.init.zeros_(self.projection.bias)
        if tied_to is None:
            nn.init.normal_(self.projection.weight, std=width**-0.5)
        else:
            self.projection.weight = tied_to.embedding.weight

    def forward(self, features: Tensor, weights: Tensor | None = None, source: Tensor | None = None) -> Tensor:
        """features (N,D) -> log-probabilities (N,V), in float32 at least."""
        scores = self.projection(features)
        if scores.dtype in (torch.bfloat16, torch.float16):
            scores = scores.float()
        return F.log_softmax(scores, -1)

    def loss(
        self,
        features: Tensor,
        gold: Padded,
        smoothing: float,
        weights: Tensor | None = None,
        source: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
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


class CopyOutput(SoftmaxOutput):
    """p(y) = g softmax(W x + b) + (1 - g) sum over s with source_s = y of a_s (See et al. 2017, equation 9).

    The gate g = sigmoid(w x) sees the features, in which the paper's context, state and input have come together; a_s
    is the mean over heads, made to sum to one again where a local window's Gaussian took from it. Source and target
    share one vocabulary, whose pieces spell words that it does not hold.
    """

    needs_weights = True

    def __init__(self, width: int, size: int, tied_to: TokenInput | None = None) -> None:
        super().__init__(width, size, tied_to)
        self.gate = nn.Linear(width, 1)

    def forward(self, features: Tensor, weights: Tensor | None = None, source: Tensor | None = None) -> Tensor:
        """features (N,D), weights (N,H,S), source ids (N,S) -> log-probabilities (N,V)."""
        assert weights is not None and source is not None
        said = super().forward(features)
        gate = self.gate(features).to(said.dtype)
        looked = weights.mean(1).to(said.dtype)
        looked = looked / looked.sum(-1, keepdim=True).clamp_min(1e-6)
        copied = torch.zeros_like(said).scatter_add(1, source, looked)
        return torch.logaddexp(said + F.logsigmoid(gate), copied.clamp_min(1e-30).log() + F.logsigmoid(-gate))

    def loss(
        self,
        features: Tensor,
        gold: Padded,
        smoothing: float,
        weights: Tensor | None = None,
        source: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """features (B,T,D), weights (B,H,T,S), source ids (B,S) -> as SoftmaxOutput.loss."""
        assert weights is not None and source is not None
        real = gold.mask()
        sources = source[:, None].expand(-1, gold.data.size(1), -1)[real]
        log_probs = self(features[real], weights.transpose(1, 2)[real], sources)
        return smoothed(log_probs, gold.data[real], smoothing), real.sum()


class Ids(nn.Module):
    """Tokens as they are, for a decoder that knows them by their numbers."""

    def types(self) -> None:
        """None of them is dropped."""

    def forward(self, ids: Tensor, types: None = None) -> Tensor:
        """(...) -> (...)."""
        return ids


class SaidOutput(nn.Module):
    """Log-probabilities as they are, of a decoder whose features they are."""

    needs_weights = False

    def forward(self, features: Tensor, weights: Tensor | None = None, source: Tensor | None = None) -> Tensor:
        """features (N,V) -> (N,V)."""
        return features

    def loss(
        self,
        features: Tensor,
        gold: Padded,
        smoothing: float,
        weights: Tensor | None = None,
        source: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """features (B,T,V) -> as SoftmaxOutput.loss."""
        real = gold.mask()
        said = features[real]
        return smoothed(said, gold.data[real], smoothing), real.sum()


def smoothed(log_probs: Tensor, gold: Tensor, smoothing: float) -> Tensor:
    """log_probs (N,V), gold (N,) -> the sum of cross-entropies with labels smoothed evenly over the vocabulary."""
    chosen = log_probs.gather(1, gold[:, None]).sum()
    return -(1 - smoothing) * chosen - smoothing * log_probs.mean(-1).sum()
