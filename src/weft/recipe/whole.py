"""Every setting there is, in one place."""

from __future__ import annotations

from pydantic import Field, model_validator

from weft.recipe.data import Data, Vocabularies, Vocabulary
from weft.recipe.model import Model, PretrainedEncoder
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
