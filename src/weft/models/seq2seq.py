"""Input end, encoder, context, decoder, output end: any encoder with any decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from weft.data.batch import Batch, Padded
from weft.models.base import Decoder, Encoder, Memory
from weft.models.conv import ConvolutionalDecoder, ConvolutionalEncoder
from weft.models.identity import Identity
from weft.models.nothing import Nothing
from weft.models.pretrained import Pretrained
from weft.models.rnn import RecurrentDecoder, RecurrentEncoder
from weft.models.tags import Places, TagReader
from weft.models.transformer import TransformerDecoder, TransformerEncoder
from weft.models.vision import VisionEncoder
from weft.nn.context import Summary
from weft.nn.ends import CopyOutput, Ids, SaidOutput, SoftmaxOutput, TokenInput
from weft.nn.image import ImageInput
from weft.recipe import DirectDecoder, Model, TagDecoder

Seen = tuple[Tensor, Tensor | None]  # features (B,T,D), weights (B,H,T,S) or None
# of those that place tokens; recurrent ones know the order themselves
ENCODERS: dict[str, Callable[..., Encoder]] = {
    "conv": ConvolutionalEncoder,
    "identity": Identity,
    "transformer": TransformerEncoder,
}
DECODERS: dict[str, Callable[..., Decoder[Any, Any]]] = {
    "conv": ConvolutionalDecoder,
    "transformer": TransformerDecoder,
}


class Seq2Seq(nn.Module):
    """p(y | x) = prod_t p(y_t | y_<t, x) over tokens; it is a StepModel."""

    def __init__(
        self,
        settings: Model,
        source_size: int,
        target_size: int,
        word_starts: Tensor | None = None,
        pretrained: Pretrained | None = None,
    ) -> None:
        """`word_starts` (source_size,) are the pieces that begin a word, for a decoder of tags; None: each does.

        `pretrained` is the encoder of settings that want one; any other is made here.
        """
        super().__init__()
        width, embedding = settings.width, settings.embedding
        tags = isinstance(settings.decoder, TagDecoder)
        self.target_input = Ids() if tags else TokenInput(target_size, width, embedding, embedding.target_width)
        self.encoder = encoder(settings) if pretrained is None else pretrained
        self.source_input: TokenInput | ImageInput | None = None
        if isinstance(self.encoder, Nothing | Pretrained):
            pass
        elif settings.input.kind == "image":
            self.source_input = ImageInput(width, settings.input)
        else:
            self.source_input = TokenInput(source_size, width, embedding, embedding.source_width)
            if embedding.share in ("inputs", "all") and isinstance(self.target_input, TokenInput):
                self.source_input.embedding = self.target_input.embedding
        own = isinstance(self.encoder, RecurrentEncoder | VisionEncoder)
        self.summary = Summary(settings.context.of or ("last" if own else "mean"), self.encoder.width)
        self.places = Places(settings.decoder, word_starts) if isinstance(settings.decoder, TagDecoder) else None
        self.decoder = decoder(settings, self.encoder.width, target_size)
        self.output = self.output_end(settings, target_size)

    def output_end(self, settings: Model, size: int) -> SoftmaxOutput | SaidOutput:
        if not isinstance(self.target_input, TokenInput):
            return SaidOutput()
        kind = CopyOutput if settings.copy_source else SoftmaxOutput
        tied = settings.embedding.share in ("target", "all")
        return kind(settings.width, size, self.target_input if tied else None)

    @property
    def vector_width(self) -> int:
        """Of the memory's context."""
        return self.encoder.width

    def encode(self, source: Padded) -> Memory:
        """source.data (B,S), or (B,C,H,W) of images -> what the decoder may know of it."""
        embedded = source if self.source_input is None else self.source_input.sequence(source)
        memory: Memory = self.encoder(embedded)
        context = self.summary(memory.values, memory.mask, memory.context)
        if self.places is None:
            return replace(memory, context=context)
        places = self.places(source, self.summary.shares(memory.values, memory.mask))
        return replace(memory, context=context, places=places)

    def forward(self, source: Padded, fed: Padded) -> Seen:
        """source.data (B,S), fed.data (B,T) -> features (B,T,D), weights (B,H,T,S) or None."""
        memory = self.encode(source)
        wanted = self.output.needs_weights or not self.training
        seen: Seen = self.decoder(self.target_input(fed.data), memory, wanted)
        return seen

    def loss(
        self, batch: Batch, smoothing: float, feed: Callable[[Seq2Seq, Batch], Seen] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The summed cross-entropy of the batch in nats, and the number of its tokens; `feed` gives what is seen."""
        features, weights = feed(self, batch) if feed else self(batch.source, batch.fed)
        return self.output.loss(features, batch.gold, smoothing, weights, batch.source.data)

    def start(self, source: Padded) -> tuple[Any, Any]:
        fixed, state = self.decoder.init(self.encode(source))
        return (fixed, source.data), state

    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        fixed, source = fixed
        features, weights, state = self.decoder.step(self.target_input(tokens), state, fixed)
        if self.output.needs_weights and len(source) != len(tokens):
            source = source.repeat_interleave(len(tokens) // len(source), 0)
        return self.output(features, weights, source), weights, state


def encoder(settings: Model) -> Encoder:
    if settings.encoder.kind == "none":
        return Nothing()
    if settings.encoder.kind == "rnn":
        return RecurrentEncoder(settings.width, settings.encoder)
    return ENCODERS[settings.encoder.kind](settings.width, settings.encoder, position_scale(settings))


def decoder(settings: Model, memory_width: int, size: int) -> Decoder[Any, Any]:
    """`size` is that of the target vocabulary."""
    assert not isinstance(settings.decoder, DirectDecoder), "the recipe allows it for series alone"
    if settings.decoder.kind == "tags":
        return TagReader(settings.width, memory_width, size, settings.decoder, settings.context)
    if settings.decoder.kind == "rnn":
        return RecurrentDecoder(settings.width, memory_width, settings.decoder, settings.context)
    return DECODERS[settings.decoder.kind](
        settings.width, memory_width, settings.decoder, settings.context, position_scale(settings)
    )


def position_scale(settings: Model) -> float:
    return float(settings.width**-0.5) if settings.embedding.scale == "down" else 1.0
