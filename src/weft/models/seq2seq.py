"""Input end, encoder, context, decoder, output end: any encoder with any decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from weft.data.batch import Batch, Padded
from weft.models.base import Decoder, Encoder, Memory
from weft.models.conv import ConvolutionalDecoder, ConvolutionalEncoder
from weft.models.identity import Identity
from weft.models.labels import LabelOutput, LabelReader, Whole
from weft.models.nothing import Nothing
from weft.models.pretrained import Pretrained
from weft.models.rnn import RecurrentDecoder, RecurrentEncoder
from weft.models.tags import Places, TagReader
from weft.models.transformer import TransformerDecoder, TransformerEncoder
from weft.models.vision import VisionEncoder
from weft.models.windows import WindowEncoder
from weft.nn.context import Summary
from weft.nn.ends import CopyOutput, Ids, SaidOutput, SoftmaxOutput, TokenInput
from weft.nn.factors import FactoredInput
from weft.nn.gaussian import Gaussian
from weft.nn.image import ImageInput
from weft.recipe import DirectDecoder, LabelDecoder, Model, TagDecoder

# made from the width of what comes in, their settings and the scale of positions; recurrent ones want no positions
ENCODERS: dict[str, Callable[..., Encoder]] = {
    "conv": ConvolutionalEncoder,
    "identity": Identity,
    "transformer": TransformerEncoder,
    "windows": WindowEncoder,
}
DECODERS: dict[str, Callable[..., Decoder[Any, Any]]] = {
    "conv": ConvolutionalDecoder,
    "transformer": TransformerDecoder,
}


class Seen(NamedTuple):
    """What a decoder makes of its source and of what it is fed, all that a loss is of."""

    features: Tensor  # (B,T,D)
    weights: Tensor | None  # (B,H,T,S)
    divergence: Tensor | None = None  # (B,) of a vector that was drawn, as much of it as counts


class Seq2Seq(nn.Module):
    """p(y | x) = prod_t p(y_t | y_<t, x) over tokens; it is a StepModel."""

    def __init__(
        self,
        settings: Model,
        source_size: int,
        target_size: int,
        word_starts: Tensor | None = None,
        pretrained: Pretrained | None = None,
        factors: Sequence[int] = (),
    ) -> None:
        """`word_starts` (source_size,) are the pieces that begin a word, for a decoder of tags; None: each does.

        `pretrained` is the encoder of settings that want one; any other is made here. `factors` are how many features
        each factor of the source's words has.
        """
        super().__init__()
        width, embedding = settings.width, settings.embedding
        by_number = isinstance(settings.decoder, TagDecoder | LabelDecoder)
        self.target_input = Ids() if by_number else TokenInput(target_size, width, embedding, embedding.target_width)
        self.encoder = encoder(settings) if pretrained is None else pretrained
        self.source_input: TokenInput | ImageInput | None = None
        if isinstance(self.encoder, Nothing | Pretrained):
            pass
        elif settings.input.kind == "image":
            self.source_input = ImageInput(width, settings.input)
        else:
            ends = source_size, width, embedding, embedding.source_width
            self.source_input = FactoredInput(*ends, factors) if factors else TokenInput(*ends)
            if embedding.share in ("inputs", "all") and isinstance(self.target_input, TokenInput):
                self.source_input.embedding = self.target_input.embedding
        own = isinstance(self.encoder, RecurrentEncoder | VisionEncoder)
        self.summary = Summary(settings.context.of or ("last" if own else "mean"), self.encoder.width)
        self.places = read_off(settings, word_starts)
        self.gaussian: Gaussian | None = None
        variational = settings.context.variational
        if variational is not None:
            self.gaussian = Gaussian(self.encoder.width, variational.width or self.encoder.width)
        self.divergence_weight = settings.divergence_weight
        self.decoder = decoder(settings, self.vector_width, target_size)
        self.output = self.output_end(settings, target_size)

    def output_end(self, settings: Model, size: int) -> SoftmaxOutput | SaidOutput | LabelOutput:
        if isinstance(settings.decoder, LabelDecoder):
            return LabelOutput(size)
        if not isinstance(self.target_input, TokenInput):
            return SaidOutput()
        kind = CopyOutput if settings.copy_source else SoftmaxOutput
        tied = settings.embedding.share in ("target", "all")
        return kind(settings.width, size, self.target_input if tied else None)

    @property
    def vector_width(self) -> int:
        """Of the memory's context."""
        return self.encoder.width if self.gaussian is None else self.gaussian.out

    def encode(self, source: Padded, draw: bool = False) -> Memory:
        """source.data (B,S), or (B,C,H,W) of images -> what the decoder may know of it.

        A variational vector is the mean of its Gaussian, or drawn from it.
        """
        embedded = source if self.source_input is None else self.source_input.sequence(source)
        return self.completed(self.encoder(embedded), source, draw)

    def completed(self, memory: Memory, source: Padded, draw: bool = False) -> Memory:
        """What an encoder made of the source, with its fixed vector and the places that tags are read off."""
        context = self.summary(memory.values, memory.mask, memory.context)
        if self.gaussian is not None:
            context, divergence = self.gaussian(context, draw)
            return replace(memory, context=context, divergence=divergence)
        if self.places is None:
            return replace(memory, context=context)
        places = self.places(source, self.summary.shares(memory.values, memory.mask))
        return replace(memory, context=context, places=places)

    def forward(self, source: Padded, fed: Padded) -> tuple[Tensor, Tensor | None]:
        """source.data (B,S), fed.data (B,T) -> features (B,T,D), weights (B,H,T,S) or None."""
        return self.decoded(self.encode(source), fed)

    def decoded(self, memory: Memory, fed: Padded) -> tuple[Tensor, Tensor | None]:
        """The same of a source that is known."""
        wanted = self.output.needs_weights or not self.training
        found: tuple[Tensor, Tensor | None] = self.decoder(self.target_input(fed.data), memory, wanted)
        return found

    def seen(self, batch: Batch) -> Seen:
        """The batch where the decoder is fed the target, and a variational vector is drawn."""
        memory = self.encode(batch.source, draw=True)
        return Seen(*self.decoded(memory, batch.fed), memory.divergence)

    def loss(
        self, batch: Batch, smoothing: float, feed: Callable[[Any, Batch], Seen] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The summed cross-entropy of the batch in nats, and the number of its tokens; `feed` gives what is seen.

        With a variational vector its divergence is added, by its weight; by 1 that is the negative of the bound on
        log p(y) (Kingma and Welling 2014, equation 3), at one vector that is drawn.
        """
        features, weights, divergence = feed(self, batch) if feed else self.seen(batch)
        loss, count = self.output.loss(features, batch.gold, smoothing, weights, batch.source.data)
        return loss if divergence is None else loss + self.divergence_weight * divergence.sum(), count

    def start(self, source: Padded) -> tuple[Any, Any]:
        return self.start_from(self.encode(source), source.data)

    def start_from(self, memory: Memory, source: Tensor) -> tuple[Any, Any]:
        """As `start`, source (B,S) being what may be copied."""
        fixed, state = self.decoder.init(memory)
        return (fixed, source), state

    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        features, weights, state = self.advance(tokens, state, fixed)
        source = fixed[1]
        if self.output.needs_weights and len(source) != len(tokens):
            source = source.repeat_interleave(len(tokens) // len(source), 0)
        return self.output(features, weights, source), weights, state

    def advance(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        """tokens (N,) -> what the output end is given: features (N,D), weights (N,H,S) or None; the next state."""
        features, weights, state = self.decoder.step(self.target_input(tokens), state, fixed[0])
        return features, weights, state


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
    if settings.decoder.kind == "labels":
        return LabelReader(settings.width, memory_width, size, settings.decoder, settings.context)
    if settings.decoder.kind == "rnn":
        return RecurrentDecoder(settings.width, memory_width, settings.decoder, settings.context)
    return DECODERS[settings.decoder.kind](
        settings.width, memory_width, settings.decoder, settings.context, position_scale(settings)
    )


def read_off(settings: Model, word_starts: Tensor | None) -> Places | Whole | None:
    """What part of each state tags or labels are read off, for decoders of these."""
    if isinstance(settings.decoder, TagDecoder):
        return Places(settings.decoder, word_starts)
    return Whole() if isinstance(settings.decoder, LabelDecoder) else None


def position_scale(settings: Model) -> float:
    return float(settings.width**-0.5) if settings.embedding.scale == "down" else 1.0
