"""Settings of the model: which parts it has, and that they fit together."""

from __future__ import annotations

from pydantic import Field, model_validator

from weft.recipe.ends import AnyInput, AnyOutput, ImageInput, TokenInput, TokenOutput, ValuesInput, ValuesOutput
from weft.recipe.parts import (
    AnyDecoder,
    AnyEncoder,
    Context,
    ConvolutionalDecoder,
    ConvolutionalStack,
    DirectDecoder,
    Embedding,
    LabelDecoder,
    NoEncoder,
    PixelDecoder,
    PretrainedEncoder,
    TagDecoder,
    TransformerDecoder,
    TransformerEncoder,
    TransformerStack,
)
from weft.recipe.section import Section


def room(stack: AnyEncoder | AnyDecoder) -> int | None:
    if isinstance(stack, TransformerStack | ConvolutionalStack) and stack.position == "learned":
        return stack.positions - 1
    return None


class Model(Section):
    width: int = Field(256, ge=1, description="of the embeddings and of the Transformer")
    input: AnyInput = Field(TokenInput(), discriminator="kind")
    embedding: Embedding = Embedding()
    encoder: AnyEncoder = Field(TransformerEncoder(), discriminator="kind")
    context: Context = Context()
    decoder: AnyDecoder = Field(TransformerDecoder(), discriminator="kind")
    output: AnyOutput = Field(TokenOutput(), discriminator="kind")
    copy_source: bool = Field(
        False, description="the decoder may copy a source token instead (See et al. 2017); needs a shared vocabulary"
    )

    @property
    def longest_source(self) -> int | None:
        """Tokens, without the end, that the encoder has positions for; None where their number has no bound."""
        return room(self.encoder)

    @property
    def longest_output(self) -> int | None:
        """The same of the decoder."""
        return room(self.decoder)

    @model_validator(mode="after")
    def parts_fit_together(self) -> Model:
        for name, stack in (("encoder", self.encoder), ("decoder", self.decoder)):
            if isinstance(stack, TransformerStack):
                check_heads(name, stack, self.width)
        if isinstance(self.decoder, TagDecoder | LabelDecoder) and isinstance(self.encoder, NoEncoder):
            kind = self.decoder.kind
            raise ValueError(f"model.decoder.kind is {kind}, which are read off an encoder: model.encoder.kind is none")
        if isinstance(self.input, ImageInput):
            check_image(self)
        elif isinstance(self.decoder, PixelDecoder):
            raise ValueError("model.decoder.kind is pixels, which gives back images: it needs model.input.kind: image")
        if isinstance(self.input, ValuesInput) or isinstance(self.output, ValuesOutput):
            check_values(self)
        if isinstance(self.decoder, DirectDecoder):
            check_direct(self)
        elif isinstance(self.encoder, NoEncoder):
            if self.decoder.attention is not None or self.context.given != "none":
                raise ValueError(
                    "model.encoder.kind is none, so there is nothing to look at: "
                    "it needs model.decoder.attention: null and model.context.given: none"
                )
        elif self.sees_context_only and self.context.given == "none":
            raise ValueError(
                "model.decoder.attention is null and model.context.given is none: the source is never seen"
            )
        if self.context.variational is not None:
            check_variational(self)
        if isinstance(self.encoder, PretrainedEncoder):
            check_pretrained(self)
        if self.copy_source and self.decoder.attention is None:
            raise ValueError("model.copy_source copies what attention looks at: it needs an attention")
        if self.copy_source and isinstance(self.decoder, TransformerDecoder) and self.decoder.layer_drop:
            raise ValueError("model.copy_source needs the attention of every step: model.decoder.layer_drop must be 0")
        if isinstance(self.decoder, ConvolutionalDecoder | TransformerDecoder):
            attention = self.decoder.attention
            if attention is not None and attention.coverage:
                raise ValueError(
                    f"attention coverage goes step by step: it needs an rnn decoder, not {self.decoder.kind}"
                )
        return self

    @property
    def has_tokenizer(self) -> bool:
        """Whether the source is read in the pieces of a pretrained encoder."""
        return isinstance(self.encoder, PretrainedEncoder) and not isinstance(self.input, ImageInput)

    @property
    def sees_context_only(self) -> bool:
        return self.decoder.attention is None and not isinstance(self.decoder, TagDecoder | LabelDecoder)

    @property
    def divergence_weight(self) -> float:
        """Of the vector's divergence from N(0,1) in the loss; 0 where it is not drawn."""
        return 0.0 if self.context.variational is None else self.context.variational.weight


def check_image(model: Model) -> None:
    """What only tokens have is not asked of images."""
    embedding, asked = model.embedding, ""
    if embedding.share in ("inputs", "all"):
        asked = f"model.embedding.share is '{embedding.share}'"
    elif embedding.source_width is not None:
        asked = f"model.embedding.source_width is {embedding.source_width}"
    elif model.copy_source:
        asked = "model.copy_source is true"
    elif isinstance(model.decoder, TagDecoder) and model.decoder.of != "line":
        asked = f"model.decoder.of is {model.decoder.of}, where each word has a tag"
    elif isinstance(model.encoder, NoEncoder):
        asked = "model.encoder.kind is none (identity takes the image as the input end gives it)"
    if asked:
        raise ValueError(f"{asked}, but model.input.kind is image: there are no source tokens")
    if isinstance(model.encoder, PretrainedEncoder):
        check_vision(model, model.encoder)


def check_vision(model: Model, encoder: PretrainedEncoder) -> None:
    """What an encoder of images that others trained has of its own."""
    assert isinstance(model.input, ImageInput)
    if model.input.by != "patches":
        raise ValueError(
            "model.encoder.kind is pretrained, which sees patches: expected model.input.by: patches, and as "
            "model.input.patch the pixels that one of its states stands for, such as [16, 16]"
        )
    if encoder.states != "last":
        raise ValueError(f"model.encoder.states is {encoder.states}, which is for encoders of text")
    if isinstance(model.decoder, PixelDecoder):
        raise ValueError("model.encoder.kind is pretrained, which no autoencoder has (model.decoder.kind: pixels)")


def check_variational(model: Model) -> None:
    """ValueError where the decoder sees more than the vector, or its loss is not in nats, as the divergence is."""
    assert model.context.variational is not None
    needs = "model.context.variational draws the one vector that a decoder sees: "
    if not model.sees_context_only:
        raise ValueError(f"{needs}it needs model.decoder.attention: null")
    if isinstance(model.encoder, NoEncoder) or isinstance(model.input, ValuesInput):
        what = "model.encoder.kind is none" if isinstance(model.encoder, NoEncoder) else "model.input.kind is values"
        raise ValueError(f"{needs}it is for text and images, but {what}")
    if not isinstance(model.decoder, PixelDecoder):
        return
    if model.context.variational.width is not None:
        raise ValueError(
            f"model.context.variational.width is {model.context.variational.width}, "
            f"but the vector of pixels is as wide as model.decoder.vector says"
        )
    if model.decoder.loss != "entropy":
        raise ValueError(
            f"model.context.variational counts in nats, but model.decoder.loss is {model.decoder.loss}; "
            f"expected entropy"
        )


def check_values(model: Model) -> None:
    if not isinstance(model.input, ValuesInput) or not isinstance(model.output, ValuesOutput):
        raise ValueError(
            f"model.input.kind is {model.input.kind} and model.output.kind {model.output.kind}; "
            f"of a series both are values"
        )
    if isinstance(model.encoder, PretrainedEncoder) or isinstance(model.decoder, TagDecoder | LabelDecoder):
        kinds = f"model.encoder.kind is {model.encoder.kind} and model.decoder.kind {model.decoder.kind}"
        raise ValueError(f"{kinds}; pretrained encoders, tags and labels are for text, and a series has none")
    if isinstance(model.encoder, NoEncoder) and not isinstance(model.decoder, DirectDecoder):
        raise ValueError(
            "model.encoder.kind is none, so that only model.decoder.kind: direct can forecast from the look-back itself"
        )
    if isinstance(model.encoder, NoEncoder) and model.input.patch != 1:
        raise ValueError("model.input.patch is of what an encoder reads, but model.encoder.kind is none")
    if model.embedding != Embedding() or model.copy_source:
        raise ValueError("model.embedding and model.copy_source are about tokens; a series has none")


def check_direct(model: Model) -> None:
    assert isinstance(model.decoder, DirectDecoder)
    if not isinstance(model.output, ValuesOutput):
        raise ValueError("model.decoder.kind is direct, which forecasts series: it needs model.output.kind: values")
    if model.output.patch != 1:
        raise ValueError("model.output.patch is of decoders that go step by step; a direct one says all rows at once")
    if isinstance(model.encoder, NoEncoder) and model.decoder.of == "context":
        raise ValueError("model.encoder.kind is none, so there is no context; expected model.decoder.of: memory")


def check_pretrained(model: Model) -> None:
    """ValueError where the source would need embeddings or pieces of ours."""
    for key, asked in (
        (f"embedding.share is '{model.embedding.share}'", model.embedding.share in ("inputs", "all")),
        (f"embedding.source_width is {model.embedding.source_width}", model.embedding.source_width is not None),
        ("copy_source is true", model.copy_source),
    ):
        if asked:
            raise ValueError(f"model.{key}, but model.encoder.kind is pretrained, which has pieces of its own")


def check_heads(name: str, stack: TransformerStack, width: int) -> None:
    if width % (2 * stack.heads):
        raise ValueError(
            f"model.{name}.heads is {stack.heads}, which does not divide model.width {width} into heads of even width"
        )
    if stack.key_value_heads and stack.heads % stack.key_value_heads:
        raise ValueError(
            f"model.{name}.key_value_heads is {stack.key_value_heads}, "
            f"which does not divide model.{name}.heads {stack.heads}"
        )
