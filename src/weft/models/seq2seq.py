"""Input end, encoder, decoder, output end: any encoder with any decoder."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from weft.data.batch import Batch, Padded
from weft.models.base import Decoder, Encoder
from weft.models.rnn import RecurrentDecoder, RecurrentEncoder
from weft.models.transformer import TransformerDecoder, TransformerEncoder
from weft.nn.ends import SoftmaxOutput, TokenInput
from weft.recipe import Model
from weft.recipe import RecurrentDecoder as RecurrentDecoderSettings
from weft.recipe import RecurrentEncoder as RecurrentEncoderSettings


class Seq2Seq(nn.Module):
    """p(y | x) = prod_t p(y_t | y_<t, x) over tokens; it is a StepModel."""

    def __init__(self, settings: Model, source_size: int, target_size: int) -> None:
        super().__init__()
        width, embedding = settings.width, settings.embedding
        self.target_input = TokenInput(target_size, width, embedding.dropout)
        self.source_input = TokenInput(source_size, width, embedding.dropout)
        if embedding.share == "all":
            self.source_input.embedding = self.target_input.embedding
        self.encoder = encoder(settings)
        self.decoder = decoder(settings, self.encoder.width)
        self.output = SoftmaxOutput(width, target_size, None if embedding.share == "none" else self.target_input)

    def forward(self, source: Padded, fed: Padded) -> tuple[Tensor, Tensor | None]:
        """source.data (B,S), fed.data (B,T) -> features (B,T,D), weights (B,H,T,S) or None."""
        memory = self.encoder(Padded(self.source_input(source.data), source.lengths))
        features: tuple[Tensor, Tensor | None] = self.decoder(self.target_input(fed.data), memory)
        return features

    def loss(self, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
        """The summed cross-entropy of the batch in nats, and the number of its tokens."""
        features, _ = self(batch.source, batch.fed)
        return self.output.loss(features, batch.gold, smoothing)

    def start(self, source: Padded) -> tuple[Any, Any]:
        return self.decoder.init(self.encoder(Padded(self.source_input(source.data), source.lengths)))

    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        features, weights, state = self.decoder.step(self.target_input(tokens), state, fixed)
        return self.output(features), weights, state


def encoder(settings: Model) -> Encoder:
    if isinstance(settings.encoder, RecurrentEncoderSettings):
        return RecurrentEncoder(settings.width, settings.encoder)
    return TransformerEncoder(settings.width, settings.encoder)


def decoder(settings: Model, memory_width: int) -> Decoder[Any, Any]:
    if isinstance(settings.decoder, RecurrentDecoderSettings):
        return RecurrentDecoder(settings.width, memory_width, settings.decoder)
    return TransformerDecoder(settings.width, memory_width, settings.decoder)
