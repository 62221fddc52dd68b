"""Every setting there is, in one place."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from weft.recipe.data import Data, Vocabularies, Vocabulary
from weft.recipe.ends import ValuesInput, ValuesOutput
from weft.recipe.model import Model
from weft.recipe.parts import DirectDecoder, PretrainedEncoder, TagDecoder
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
    def tags(self) -> Literal["words", "line", "both"] | None:
        """What the targets are tags of, where they are."""
        return self.model.decoder.of if isinstance(self.model.decoder, TagDecoder) else None

    @model_validator(mode="after")
    def tags_are_words_beside_words(self) -> Recipe:
        if self.tags is None:
            if self.search.tags != "any":
                raise ValueError(f"search.tags is {self.search.tags}, which needs model.decoder.kind: tags")
            return self
        vocabulary, noise = self.vocabulary, self.data.noise
        if vocabulary.shared or vocabulary.target.kind != "word":
            raise ValueError("model.decoder.kind is tags: it needs vocabulary.shared: false and target: {kind: word}")
        if self.start.target_vectors is not None:
            raise ValueError("model.decoder.kind is tags, which have no embedding for start.target_vectors")
        if self.data.direction != "forward":
            raise ValueError(f"model.decoder.kind is tags, but data.direction is '{self.data.direction}'")
        if self.tags == "line":
            return self
        if isinstance(self.model.encoder, PretrainedEncoder):
            raise ValueError("model.encoder.kind is pretrained, whose pieces are not told apart by words, as tags need")
        if vocabulary.normalization != "identity":
            raise ValueError("tags of words need vocabulary.normalization: identity, or one word may become two")
        moved = [name for name in ("drop", "swap", "characters") if getattr(noise, name)]
        if noise.mask and vocabulary.source.kind != "word":
            moved.append("mask")
        if moved:
            raise ValueError(f"data.noise.{moved[0]} would part words from their tags (model.decoder.of: {self.tags})")
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
            return self
        asked: dict[str, object] = {
            "vocabulary.shared": self.vocabulary.shared,
            "vocabulary.source.sampling": self.vocabulary.source.sampling,
            "data.direction": self.data.direction != "forward",
            "start.source_vectors": self.start.source_vectors,
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
