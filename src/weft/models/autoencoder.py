"""An image through one vector and back.

B images, C channels, H rows and W columns of pixels, S positions of the grid, E their width, D width of the vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.data.batch import Batch, Padded, Pixels
from weft.models.base import Memory
from weft.models.pretrained import Pretrained
from weft.models.seq2seq import Seen, Seq2Seq, encoder
from weft.nn.gaussian import Gaussian
from weft.nn.image import ImageInput
from weft.recipe import ImageInput as ImageSettings
from weft.recipe import Model, PixelDecoder


class Autoencoder(Seq2Seq):
    """x -> c -> x (Hinton and Salakhutdinov 2006): c is all states of the encoder through one matrix.

    The decoder is layers of ReLU and a sigmoid for each value of each pixel. There is nothing to search for: `encode`
    gives c, and `decode` the image. Of a variational one the matrix gives a Gaussian (Kingma and Welling 2014).
    """

    def __init__(self, settings: Model) -> None:
        nn.Module.__init__(self)
        assert isinstance(settings.input, ImageSettings) and isinstance(settings.decoder, PixelDecoder)
        decoder = settings.decoder
        self.shape = settings.input.shape
        self.source_input: ImageInput = ImageInput(settings.width, settings.input)
        self.encoder = encoder(settings)
        states = settings.input.positions * self.encoder.width
        self.divergence_weight = settings.divergence_weight
        self.squeeze: nn.Linear | Gaussian = nn.Linear(states, decoder.vector)
        if settings.context.variational is not None:
            self.squeeze = Gaussian(states, decoder.vector)
        widths = [decoder.vector, *[decoder.width] * decoder.layers]
        layers = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), nn.ReLU())]
        self.pixels = nn.Sequential(*layers, nn.Linear(widths[-1], prod(self.shape)))
        self.by_entropy = decoder.loss == "entropy"

    @property
    def vector_width(self) -> int:
        return self.squeeze.out if isinstance(self.squeeze, Gaussian) else self.squeeze.out_features

    def encode(self, source: Padded, draw: bool = False) -> Memory:
        """source.data (B,C,H,W) -> the encoder's memory, with c (B,D) as its context."""
        memory: Memory = self.encoder(self.source_input.sequence(source))
        states = memory.values.flatten(1)
        if not isinstance(self.squeeze, Gaussian):
            return replace(memory, context=self.squeeze(states))
        context, divergence = self.squeeze(states, draw)
        return replace(memory, context=context, divergence=divergence)

    def decode(self, vectors: Tensor) -> Tensor:
        """(B,D) -> (B,C,H,W) of 0 to 1."""
        values: Tensor = torch.sigmoid(self.pixels(vectors)).unflatten(1, self.shape)
        return values

    def seen(self, batch: Batch) -> Seen:
        """Features are what the sigmoid is of, (B,C*H*W)."""
        memory = self.encode(batch.source, draw=True)
        return Seen(self.pixels(memory.context), None, memory.divergence)

    def loss(
        self, batch: Batch, smoothing: float, feed: Callable[[Any, Batch], Seen] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The mean error of an image's values before noise, over images: squared, or binary cross-entropy in nats.

        Of a variational one it is the sum over an image's values and the divergence of its vector, by its weight. Each
        image counts as often as its target has tokens, as in all that goes over a batch.
        """
        source = batch.source
        wanted = ((source.clean if isinstance(source, Pixels) else source.data) / 255).flatten(1)
        scores, _, divergence = feed(self, batch) if feed else self.seen(batch)
        if self.by_entropy:
            errors = F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        else:
            errors = (torch.sigmoid(scores) - wanted) ** 2
        each = errors.mean(1) if divergence is None else errors.sum(1) + self.divergence_weight * divergence
        return (each * batch.gold.lengths).sum(), batch.gold.lengths.sum()


def network(
    settings: Model,
    source_size: int,
    target_size: int,
    word_starts: Tensor | None = None,
    pretrained: Pretrained | None = None,
    factors: Sequence[int] = (),
) -> Seq2Seq:
    """The network of these settings, for vocabularies of so many pieces, and factors of so many features."""
    if settings.decoder.kind == "pixels":
        return Autoencoder(settings)
    return Seq2Seq(settings, source_size, target_size, word_starts, pretrained, factors)
