"""Settings of the parts of a model: embedding, context, attention, encoders, decoders."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from weft.errors import nearest
from weft.recipe.section import Part, Section

# A file in nn/scores is a kind of attention; nothing else has to know of it.
SCORES = tuple(sorted(file.name for file in pkgutil.iter_modules([str(Path(__file__).parents[1] / "nn" / "scores")])))
MOST_LAYERS = 1000  # beyond, a model is a slip of the pen

Position = Literal["none", "sinusoidal", "learned", "rotary", "relative"]


class EmbeddedFactors(Section):
    """How the features beside a word come in (Sennrich and Haddow 2016); each has an embedding of its own."""

    combine: Literal["concat", "sum"] = Field(
        "concat", description="concat: each takes `width` of model.width, the token the rest; sum: all are added"
    )
    width: int | list[int] = Field(16, description="of concat: of each factor; a list is one a factor")

    def widths(self, count: int, width: int) -> list[int]:
        """Of so many factors, beside tokens in a model of this width."""
        if self.combine == "sum":
            return [width] * count
        return [self.width] * count if isinstance(self.width, int) else self.width


class Embedding(Section):
    share: Literal["none", "target", "inputs", "all"] = Field(
        "target",
        description="one matrix for target: the decoder's input and output; inputs: both inputs; all: all three",
    )
    scale: Literal["up", "none", "down"] = Field(
        "up",
        description="up: small values times sqrt(width); none: unit values; "
        "down: small values, and sinusoids as small added to them (Csordas et al. 2021)",
    )
    source_width: int | None = Field(
        None, ge=1, description="of the encoder's, with a matrix to model.width; null: as wide"
    )
    target_width: int | None = Field(
        None, ge=1, description="of the decoder's, with a matrix to model.width; null: as wide"
    )
    dropout: Part = Field(0.0, description="of single values of embedded tokens")
    tokens: Part = Field(0.0, description="probability that a token's whole embedding is zero (Gal & Ghahramani 2016)")
    factors: EmbeddedFactors = EmbeddedFactors()

    @model_validator(mode="after")
    def shared_matrices_are_as_wide(self) -> Embedding:
        if self.target_width and self.share in ("target", "all"):
            raise ValueError(f"model.embedding.target_width needs a matrix of its own, but share is '{self.share}'")
        if self.share in ("inputs", "all") and self.source_width != self.target_width:
            raise ValueError(
                f"model.embedding.share is '{self.share}', but source_width is {self.source_width} "
                f"and target_width {self.target_width}"
            )
        return self


class Variational(Section):
    """The vector is drawn from a Gaussian that the encoder tells, and kept near N(0,1) (Kingma & Welling 2014)."""

    width: int | None = Field(None, ge=1, description="of the vector; null: as the encoder's, or decoder.vector")
    weight: float = Field(1.0, ge=0.0, description="of the divergence from N(0,1) in the loss, once it is all there")
    annealing: Literal["none", "linear", "sigmoid"] = Field(
        "linear", description="how the weight comes up from 0 while training (Bowman et al. 2016, section 3.1)"
    )
    over: int = Field(5000, ge=1, description="steps until all of it is there (sigmoid: 0.998)")
    free_bits: float = Field(
        0.0, ge=0.0, description="nats of each item's divergence that cost nothing while training (Kingma et al. 2016)"
    )


class Context(Section):
    """The fixed-length vector c, and where the decoder gets it."""

    of: Literal["last", "mean", "max", "weighted"] | None = Field(
        None, description="all the encoder's states in one; null: last for recurrent encoders, mean for others"
    )
    transform: Literal["none", "linear", "tanh"] = Field("tanh", description="tanh(W c), W c, or c as it is")
    given: Literal["none", "first", "every", "both"] = Field(
        "first",
        description="as the decoder's first state (Sutskever 2014), at every step (Cho 2014), or both; "
        "decoders other than rnn take `first` only where they have no attention",
    )
    variational: Variational | None = Field(
        None, description="for autoencoders whose decoder sees the vector alone; null: the vector is what it is"
    )

    @property
    def at_every_step(self) -> bool:
        return self.given in ("every", "both")

    def as_position(self, attention: Attention | None) -> bool:
        """Whether a decoder that is not recurrent has it before its first token: with attention only if given both."""
        return self.given == "both" or (self.given == "first" and attention is None)


class Attention(Section):
    """Which states of the encoder a decoder looks at, by a score of each against its own state."""

    kind: str = Field("additive", json_schema_extra={"enum": list(SCORES)}, description=f"one of {', '.join(SCORES)}")
    width: int | None = Field(None, ge=1, description="of additive, concat and multi_head; null: the decoder's width")
    heads: int = Field(4, ge=1, description="of multi_head")
    positions: int = Field(256, ge=1, description="location: the longest source it has scores for")
    window: Literal["global", "local_m", "local_p"] = Field(
        "global", description="local_m: around the same position; local_p: around a predicted one (Luong 2015, 3.2)"
    )
    reach: int = Field(10, ge=1, description="of a local window, to each side")
    coverage: bool = Field(False, description="additive and concat see what was attended before (Tu et al. 2016)")

    @field_validator("kind")
    @classmethod
    def kind_is_known(cls, kind: str) -> str:
        if kind not in SCORES:
            raise ValueError(
                f"attention kind is {kind!r}{nearest(kind, SCORES) or ';'} the kinds are {', '.join(SCORES)}"
            )
        return kind

    @model_validator(mode="after")
    def coverage_stands_inside_a_tanh(self) -> Attention:
        if self.coverage and self.kind not in ("additive", "concat"):
            raise ValueError(f"attention coverage needs kind additive or concat, not {self.kind}")
        return self


class NoEncoder(Section):
    """No source at all: a language model of the targets."""

    kind: Literal["none"] = "none"
    layers: ClassVar[int] = 0


class IdentityEncoder(Section):
    """What the input end gives is the memory, as it is."""

    kind: Literal["identity"] = "identity"
    layers: ClassVar[int] = 0


class RecurrentEncoder(Section):
    """Elman network, GRU or LSTM, one way or both (Bahdanau et al. 2015, section 3.2)."""

    kind: Literal["rnn"] = "rnn"
    cell: Literal["elman", "gru", "lstm"] = "gru"
    layers: int = Field(1, ge=1, le=MOST_LAYERS)
    width: int | list[int] = Field(256, description="of each direction; a list is one a layer")
    bidirectional: bool = True
    reversed: bool = Field(False, description="read the source from its end (Sutskever et al. 2014)")
    residual: bool = Field(False, description="add each layer's input to its output, where they are as wide")
    dropout: Part = 0.2
    variational: bool = Field(
        False, description="drop the same values at every step, between layers and after them (Gal & Ghahramani 2016)"
    )

    @model_validator(mode="after")
    def widths_fit_the_layers(self) -> RecurrentEncoder:
        check_widths("encoder", self.width, self.layers)
        return self


class RecurrentDecoder(Section):
    """Elman network, GRU or LSTM, with or without attention (Bahdanau et al. 2015, Luong et al. 2015)."""

    kind: Literal["rnn"] = "rnn"
    cell: Literal["elman", "gru", "lstm"] = "gru"
    layers: int = Field(1, ge=1, le=MOST_LAYERS)
    width: int | list[int] = Field(256, description="a list is one a layer")
    attention: Attention | None = Attention()
    query: Literal["previous", "current"] = Field(
        "previous", description="the state that asks the attention: before the step (Bahdanau) or after it (Luong)"
    )
    input_feeding: bool = Field(False, description="the last step's attentional vector comes in with the token")
    readout: Literal["maxout", "tanh"] = Field(
        "maxout", description="maxout: Bahdanau's deep output; tanh: Luong's attentional vector, tanh(W [c; s])"
    )
    residual: bool = Field(False, description="add each layer's input to its output, where they are as wide")
    dropout: Part = 0.2
    variational: bool = Field(
        False, description="drop the same values at every step, between layers and after them (Gal & Ghahramani 2016)"
    )

    @model_validator(mode="after")
    def widths_fit_the_layers(self) -> RecurrentDecoder:
        check_widths("decoder", self.width, self.layers)
        if self.attention is None and self.input_feeding:
            raise ValueError("model.decoder.input_feeding feeds back what attention gave: it needs an attention")
        if self.input_feeding and self.readout != "tanh":
            raise ValueError("model.decoder.input_feeding feeds Luong's attentional vector: it needs readout: tanh")
        return self


class ConvolutionalStack(Section):
    layers: int = Field(4, ge=1, le=MOST_LAYERS)
    width: int = Field(256, ge=1, description="of the convolutions; what goes in and out is as wide as the embeddings")
    kernel: int = Field(3, ge=1)
    position: Literal["none", "sinusoidal", "learned"] = "learned"
    positions: int = Field(
        1024,
        ge=1,
        description="learned: the longest sentence it has positions for, in tokens with the one that ends it",
    )
    dropout: Part = 0.2


class ConvolutionalEncoder(ConvolutionalStack):
    """Layers of gated convolutions (Gehring et al. 2017)."""

    kind: Literal["conv"] = "conv"

    @model_validator(mode="after")
    def kernels_have_a_middle(self) -> ConvolutionalEncoder:
        if self.kernel % 2 == 0:
            raise ValueError(f"model.encoder.kernel is {self.kernel}; expected an odd number, to stand on a word")
        return self


class WindowEncoder(Section):
    """One layer of convolutions with windows of several widths (Kim 2014); what it reads off is usually the maximum."""

    kind: Literal["windows"] = "windows"
    layers: ClassVar[int] = 1
    widths: list[int] = Field([3, 4, 5], min_length=1, description="how many neighbours each window sees")
    channels: int = Field(100, ge=1, description="of each width; the memory is as wide as all together")

    @model_validator(mode="after")
    def windows_see_something(self) -> WindowEncoder:
        if min(self.widths) < 1:
            raise ValueError(f"model.encoder.widths is {self.widths}; expected 1 or more of each")
        return self


class ConvolutionalDecoder(ConvolutionalStack):
    """Layers of gated convolutions over what was said, each with its attention (Gehring et al. 2017)."""

    kind: Literal["conv"] = "conv"
    attention: Attention | None = Field(
        Attention(kind="scaled_dot"), description="in every layer; the paper's dot wants embedding.scale: down"
    )


class TransformerStack(Section):
    layers: int = Field(3, ge=1, le=MOST_LAYERS)
    heads: int = Field(4, ge=1)
    key_value_heads: int | None = Field(
        None, ge=1, description="fewer share them in groups, in attention to the source too (Ainslie et al. 2023)"
    )
    feed_forward: int = Field(1024, ge=1)
    norm: Literal["pre", "post"] = "pre"
    norm_kind: Literal["layer", "rms"] = "layer"
    activation: Literal["relu", "gelu", "swish", "glu", "reglu", "geglu", "swiglu"] = Field(
        "relu", description="those that end in glu are gated (Shazeer 2020)"
    )
    position: Position = "sinusoidal"
    positions: int = Field(
        1024,
        ge=1,
        description="learned: the longest sentence it has positions for, in tokens with the one that ends it",
    )
    distance: int = Field(16, ge=1, description="relative: the farthest that is told apart (Shaw et al. 2018)")
    dropout: Part = Field(0.1, description="of each part's output, and of embeddings with positions added")
    attention_dropout: Part = Field(0.0, description="of the weights of multi_head attention")
    layer_drop: Part = Field(0.0, description="probability that a whole layer is skipped (Fan et al. 2020)")


class TransformerEncoder(TransformerStack):
    """Layers of self-attention and feed-forward (Vaswani et al. 2017, section 3)."""

    kind: Literal["transformer"] = "transformer"


class TransformerDecoder(TransformerStack):
    """Layers of self-attention (or SSRU), attention and feed-forward (Vaswani et al. 2017, section 3)."""

    kind: Literal["transformer"] = "transformer"
    past: Literal["attention", "ssru"] = Field(
        "attention", description="how a layer knows what was said; ssru decodes in constant time (Kim et al. 2019)"
    )
    attention: Attention | None = Field(
        Attention(kind="multi_head"),
        description="to the source; global multi_head has the heads of the layer, any other its own",
    )

    @model_validator(mode="after")
    def ssru_knows_the_order_itself(self) -> TransformerDecoder:
        if self.past == "ssru" and self.position in ("rotary", "relative"):
            raise ValueError(
                f"model.decoder.past is ssru, which has no heads that {self.position} positions could turn"
            )
        return self


class TagDecoder(Section):
    """Tags read off the encoder's states, which decide each by themselves or in a chain (Lafferty et al. 2001)."""

    kind: Literal["tags"] = "tags"
    layers: ClassVar[int] = 1
    attention: ClassVar[None] = None
    of: Literal["words", "line", "both"] = Field(
        "words", description="one tag of each source word; one of the line; or both, the line's first"
    )
    chain: bool = Field(False, description="a linear-chain conditional random field: what tag follows what is learnt")
    dropout: Part = Field(0.2, description="of the states that tags are read off")


class LabelDecoder(Section):
    """Any number of labels for the line, each on its own: a sigmoid of the fixed vector for each label."""

    kind: Literal["labels"] = "labels"
    layers: ClassVar[int] = 1
    attention: ClassVar[None] = None
    dropout: Part = Field(0.2, description="of the vector that labels are read off")


class PretrainedEncoder(Section):
    """An encoder of Hugging Face transformers: of text, such as BERT (Devlin et al. 2019), with its own tokenizer; with
    `model.input.kind: image`, of images, such as ViT (Dosovitskiy et al. 2021), from a folder.
    """

    kind: Literal["pretrained"] = "pretrained"
    folder: str = Field(
        min_length=1, description="one that save_pretrained wrote, or the name of a model on the Hugging Face hub"
    )
    states: Literal["last", "mixed"] = Field(
        "last", description="of its last layer; mixed: a learned sum over all layers (Peters et al. 2018, equation 1)"
    )
    trained: bool = Field(False, description="learn its weights too; otherwise they stay as they are")
    rate: float | None = Field(
        None, gt=0.0, le=1.0, description="where trained: its part of the learning rate; null: 0.05"
    )
    dropout: Part = Field(0.1, description="of the states; what it drops inside, where trained, its own config says")

    @model_validator(mode="after")
    def only_what_is_trained_has_a_rate(self) -> PretrainedEncoder:
        if self.rate is not None and not self.trained:
            raise ValueError(f"model.encoder.rate is {self.rate:g}, which needs model.encoder.trained: true")
        return self


class PixelDecoder(Section):
    """An autoencoder of images: the image comes back from one vector, through layers of ReLU."""

    kind: Literal["pixels"] = "pixels"
    vector: int = Field(32, ge=1, description="width of the vector that all of the image goes through")
    layers: int = Field(1, ge=0, le=MOST_LAYERS, description="between the vector and the pixels")
    width: int = Field(256, ge=1, description="of these layers")
    loss: Literal["squared", "entropy"] = Field(
        "squared", description="squared error, or binary cross-entropy, of values from 0 to 1"
    )
    attention: ClassVar[None] = None


class DirectDecoder(Section):
    """All rows of a forecast at once, by one matrix (Zeng et al. 2023); with no encoder, from the look-back itself."""

    kind: Literal["direct"] = "direct"
    of: Literal["memory", "context"] = Field("memory", description="all of the encoder's states, or the fixed vector")
    dropout: Part = 0.0
    layers: ClassVar[int] = 1
    attention: ClassVar[Attention | None] = None


AnyEncoder = (
    NoEncoder
    | IdentityEncoder
    | RecurrentEncoder
    | ConvolutionalEncoder
    | WindowEncoder
    | TransformerEncoder
    | PretrainedEncoder
)
AnyDecoder = (
    RecurrentDecoder
    | ConvolutionalDecoder
    | TransformerDecoder
    | TagDecoder
    | LabelDecoder
    | PixelDecoder
    | DirectDecoder
)


def check_widths(name: str, width: int | list[int], layers: int) -> None:
    widths = [width] if isinstance(width, int) else width
    if min(widths, default=0) < 1:
        raise ValueError(f"model.{name}.width is {width}; expected 1 or more")
    if isinstance(width, list) and len(width) != layers:
        raise ValueError(f"model.{name}.width lists {len(width)} widths for {layers} layers")
