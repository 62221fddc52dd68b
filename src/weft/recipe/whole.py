"""Every setting there is, in one place."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from weft.recipe.data import Data, Vocabularies, Vocabulary
from weft.recipe.model import Model, PretrainedEncoder, TagDecoder
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
        if not isinstance(self.model.encoder, PretrainedEncoder):
            return self
        side = "target" if self.data.direction == "backward" else "source"
        asked = {
            "vocabulary.shared": self.vocabulary.shared,
            "data.direction: both": self.data.direction == "both",
            f"vocabulary.{side}": getattr(self.vocabulary, side) != Vocabulary(),
            **{f"data.noise.{key}": getattr(self.data.noise, key) for key in ("drop", "mask", "swap", "characters")},
            "start.encoder": self.start.encoder,
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
