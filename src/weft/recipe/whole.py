"""Every setting there is, in one place."""

from __future__ import annotations

from pydantic import Field, model_validator

from weft.recipe.data import Data, Vocabularies
from weft.recipe.ends import ValuesInput, ValuesOutput
from weft.recipe.model import DirectDecoder, Model
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
