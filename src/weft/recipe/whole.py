"""Every setting there is, in one place."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from weft.errors import counted
from weft.recipe.data import Data, Parallel, Vocabularies, Vocabulary
from weft.recipe.ends import ValuesInput, ValuesOutput
from weft.recipe.model import Model
from weft.recipe.parts import DirectDecoder, EmbeddedFactors, LabelDecoder, PretrainedEncoder, TagDecoder
from weft.recipe.search import Search
from weft.recipe.section import Section
from weft.recipe.training import Start, Training, Validation


class Recipe(Section):
    name: str = Field("", description="names the run; the recipe file's or data file's name when empty")
    out: str = Field("runs", description="the folder that holds the run")
    source_language: str = ""
    target_language: str = Field("", description="two letters; chooses the tokeniser that BLEU is computed with")
    data: Data
    vocabulary: Vocabularies = Vocabularies()
    model: Model = Model()
    start: Start = Start()
    training: Training = Training()
    validation: Validation = Validation()
    search: Search = Search()

    @property
    def tags(self) -> Literal["words", "line", "both", "labels"] | None:
        """What the targets are tags of, or that they are any number of labels of the line; None: neither."""
        if isinstance(self.model.decoder, LabelDecoder):
            return "labels"
        return self.model.decoder.of if isinstance(self.model.decoder, TagDecoder) else None

    @property
    def factors(self) -> int:
        """How many features stand beside each word of the source."""
        return len(self.data.columns.factors) + len(self.vocabulary.factors.derived)

    @property
    def source_width(self) -> int:
        """Of a source token's embedding, which may leave room for those of factors."""
        factors = self.model.embedding.factors
        if factors.combine == "sum":
            return self.model.width
        return self.model.width - sum(factors.widths(self.factors, self.model.width)) * (self.factors > 0)

    @model_validator(mode="after")
    def tags_are_words_beside_words(self) -> Recipe:
        if self.search.tags != "any" and self.model.decoder.kind != "tags":
            raise ValueError(f"search.tags is {self.search.tags}, which needs model.decoder.kind: tags")
        if self.tags is None:
            return self
        vocabulary, kind = self.vocabulary, self.model.decoder.kind
        if vocabulary.shared or vocabulary.target.kind != "word":
            raise ValueError(
                f"model.decoder.kind is {kind}: it needs vocabulary.shared: false and target: {{kind: word}}"
            )
        if self.start.target_vectors is not None:
            raise ValueError(f"model.decoder.kind is {kind}, which have no embedding for start.target_vectors")
        if self.data.direction != "forward":
            raise ValueError(f"model.decoder.kind is {kind}, but data.direction is '{self.data.direction}'")
        if self.tags == "labels":
            refuse_order(self)
        if self.tags in ("line", "labels"):
            return self
        if isinstance(self.model.encoder, PretrainedEncoder):
            raise ValueError("model.encoder.kind is pretrained, whose pieces are not told apart by words, as tags need")
        if vocabulary.normalization != "identity":
            raise ValueError("tags of words need vocabulary.normalization: identity, or one word may become two")
        if moved := moving_noise(self):
            raise ValueError(f"data.noise.{moved} would part words from their tags (model.decoder.of: {self.tags})")
        return self

    @model_validator(mode="after")
    def factors_are_features_beside_words(self) -> Recipe:
        embedding = self.model.embedding
        if not self.factors:
            if embedding.factors != EmbeddedFactors():
                raise ValueError(
                    "model.embedding.factors is how features beside words come in, but there are none: "
                    "data.columns.factors and vocabulary.factors.derived are empty"
                )
            return self
        asked = {
            "data.direction": self.data.direction != "forward" and self.data.direction,
            "data.train.source": isinstance(self.data.train, Parallel) and not self.data.train.source and "null",
            "model.input.kind": self.model.input.kind != "tokens" and self.model.input.kind,
            "model.encoder.kind": self.model.encoder.kind in ("none", "pretrained") and self.model.encoder.kind,
            "vocabulary.normalization": self.vocabulary.normalization != "identity" and "nfkc",
        }
        if wrong := next((f"{key} is {value}" for key, value in asked.items() if value), None):
            raise ValueError(f"{wrong}, where words of a source have no features beside them (factors)")
        if moved := moving_noise(self):
            raise ValueError(f"data.noise.{moved} would part words from the features beside them (factors)")
        if embedding.factors.combine == "sum":
            return self
        if embedding.share in ("inputs", "all"):
            raise ValueError(
                f"model.embedding.share is '{embedding.share}', but model.embedding.factors.combine: concat makes "
                f"source tokens narrower; expected combine: sum"
            )
        widths = embedding.factors.width
        if isinstance(widths, list) and len(widths) != self.factors:
            raise ValueError(
                f"model.embedding.factors.width lists {counted(len(widths), 'width')} for "
                f"{counted(self.factors, 'factor')}"
            )
        if min(widths if isinstance(widths, list) else [widths]) < 1 or self.source_width < 1:
            raise ValueError(
                f"model.embedding.factors.width is {widths} for {counted(self.factors, 'factor')}; expected 1 or more "
                f"each, and less than model.width {self.model.width} together"
            )
        return self

    @model_validator(mode="after")
    def a_pretrained_encoder_has_a_tokenizer(self) -> Recipe:
        if isinstance(self.model.encoder, PretrainedEncoder) and self.start.encoder:
            raise ValueError("start.encoder has no place beside model.encoder.kind: pretrained, which is one itself")
        if not self.model.has_tokenizer:
            return self
        side = "target" if self.data.direction == "backward" else "source"
        asked = {
            "vocabulary.shared": self.vocabulary.shared,
            "data.direction: both": self.data.direction == "both",
            f"vocabulary.{side}": getattr(self.vocabulary, side) != Vocabulary(),
            **{f"data.noise.{key}": getattr(self.data.noise, key) for key in ("drop", "mask", "swap", "characters")},
            f"start.{side}_vectors": getattr(self.start, f"{side}_vectors"),
            "start.source_vocabulary": self.start.source_vocabulary,
        }
        for key, value in asked.items():
            if value:
                raise ValueError(
                    f"{key} has no place beside model.encoder.kind: pretrained, "
                    f"which cuts the source into pieces of its own"
                )
        return self

    @model_validator(mode="after")
    def sharing_needs_one_vocabulary(self) -> Recipe:
        if self.vocabulary.shared:
            return self
        share = self.model.embedding.share
        if share in ("all", "inputs"):
            raise ValueError(f"model.embedding.share is '{share}', which needs vocabulary.shared: true")
        if self.model.copy_source:
            raise ValueError("model.copy_source is true, which needs vocabulary.shared: true")
        if self.data.direction == "both":
            raise ValueError("data.direction is 'both', which needs vocabulary.shared: true")
        return self

    @model_validator(mode="after")
    def vocabularies_are_taken_by_the_sides_there_are(self) -> Recipe:
        if self.vocabulary.shared:
            if self.start.target_vocabulary:
                raise ValueError("vocabulary.shared is true: its one vocabulary is taken by start.source_vocabulary")
        elif self.start.source_vocabulary and self.model.encoder.kind == "none":
            raise ValueError("model.encoder.kind is none: its vocabulary is taken by start.target_vocabulary")
        if self.start.source_vocabulary and self.factors:
            raise ValueError("start.source_vocabulary has no features beside words (factors)")
        return self

    @model_validator(mode="after")
    def gaps_are_filled_from_their_line(self) -> Recipe:
        if self.data.gaps is None:
            return self
        if not self.vocabulary.shared:
            raise ValueError("data.gaps takes the answers out of the lines, which needs vocabulary.shared: true")
        if self.model.encoder.kind == "none":
            raise ValueError("model.encoder.kind is none, but data.gaps needs one to read the line with the gap")
        return self

    @model_validator(mode="after")
    def images_are_no_tokens(self) -> Recipe:
        if self.model.input.kind != "image":
            if self.data.images is not None:
                raise ValueError(
                    f"data.images is {self.data.images!r}, but model.input.kind is {self.model.input.kind}"
                )
            for key in ("pixel_drop", "pixel_noise"):
                if getattr(self.data.noise, key):
                    raise ValueError(f"data.noise.{key} is for images, but model.input.kind is {self.model.input.kind}")
            return self
        asked: dict[str, object] = {
            "vocabulary.shared": self.vocabulary.shared,
            "vocabulary.source.sampling": self.vocabulary.source.sampling,
            "data.direction": self.data.direction != "forward",
            **{f"start.source_{what}": getattr(self.start, f"source_{what}") for what in ("vectors", "vocabulary")},
            **{f"data.noise.{key}": getattr(self.data.noise, key) for key in ("drop", "mask", "swap", "characters")},
        }
        if wrong := next((key for key, value in asked.items() if value), None):
            raise ValueError(f"{wrong} is for source tokens, but model.input.kind is image")
        if self.model.decoder.kind != "pixels":
            return self
        asked = {
            **{f"start.{key}": value for key, value in self.start},
            "data.noise.target_drop": self.data.noise.target_drop,
            "training.feeding.kind": self.training.feeding.kind != "teacher_forcing",
        }
        if wrong := next((key for key, value in asked.items() if value), None):
            raise ValueError(f"{wrong} is for models that say tokens, but model.decoder.kind is pixels")
        return self

    @model_validator(mode="after")
    def series_are_values(self) -> Recipe:
        series = self.data.series
        if series is None:
            if isinstance(self.model.input, ValuesInput):
                raise ValueError("model.input.kind is values, which are those of data.series: it is missing")
            return self
        if not isinstance(self.model.input, ValuesInput) or not isinstance(self.model.output, ValuesOutput):
            raise ValueError("data.series holds numbers: model.input.kind and model.output.kind must be values")
        if series.look_back < max(self.model.input.patch, self.model.output.patch):
            raise ValueError(
                f"data.series.look_back is {series.look_back}, which is less than one patch: model.input.patch is "
                f"{self.model.input.patch}, model.output.patch {self.model.output.patch}"
            )
        feeding = self.training.feeding
        if isinstance(self.model.decoder, DirectDecoder) and feeding.kind != "teacher_forcing":
            raise ValueError(f"training.feeding.kind is {feeding.kind}, but a direct decoder is fed nothing")
        if feeding.choose == "sample":
            raise ValueError("training.feeding.choose is sample, but there is nothing to sample numbers from")
        if self.validation.metric not in ("loss", "mse", "mae"):
            raise ValueError(f"validation.metric is {self.validation.metric!r}; for series it is loss, mse or mae")
        refuse_text_settings(self)
        return self


def moving_noise(recipe: Recipe) -> str | None:
    """The noise, if there is any, after which a piece may be of another word than before."""
    noise = recipe.data.noise
    moved = [name for name in ("drop", "swap", "characters") if getattr(noise, name)]
    if noise.mask and recipe.vocabulary.source.kind != "word":
        moved.append("mask")
    return moved[0] if moved else None


ORDER_OF_SEARCH = ("repetition_penalty", "min_length", "no_repeat_ngram", "output_length", "language_model")
OF_ORDER = {
    "search": ORDER_OF_SEARCH,
    "training": ("feeding",),
    "validation": ("several_references",),
}


def refuse_order(recipe: Recipe) -> None:
    """ValueError for a setting that is about what follows what, for labels, which are a set."""
    for section, keys in OF_ORDER.items():
        part = getattr(recipe, section)
        for key in keys:
            if getattr(part, key) != type(part).model_fields[key].default:
                raise ValueError(f"'{section}.{key}' has no part in model.decoder.kind: labels, which are a set")


OF_TEXT = {
    "data": ("dev", "test", "also", "columns", "direction", "dev_fraction", "max_length", "duplicates", "noise"),
    "validation": ("metrics", "items", "beam", "several_references"),
    "training": ("label_smoothing",),
}


def refuse_text_settings(recipe: Recipe) -> None:
    """ValueError for a setting that is about text and so has no part in forecasting."""
    for name in ("vocabulary", "search", "start", "source_language", "target_language"):
        if getattr(recipe, name) != Recipe.model_fields[name].default:
            raise ValueError(f"'{name}' is about text and has no part in forecasting a series")
    for section, keys in OF_TEXT.items():
        part = getattr(recipe, section)
        for key in keys:
            value, usual = getattr(part, key), type(part).model_fields[key].default
            if value != usual and value != 0:
                raise ValueError(f"'{section}.{key}' is about text and has no part in forecasting a series")
