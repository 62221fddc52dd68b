"""Every setting there is, in one place."""

from __future__ import annotations

from pydantic import Field, model_validator

from weft.recipe.data import Data, Vocabularies
from weft.recipe.model import Model
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
