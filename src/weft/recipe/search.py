"""Settings of search: which hypotheses go on, what they may say, and how they are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from weft.recipe.section import Part, Section

WIDEST = 1000  # hypotheses of a line at a time, each with a state and a probability of every piece


class Search(Section):
    kind: Literal["beam", "diverse", "sample", "gumbel"] = Field(
        "beam",
        description="diverse: beams in groups that differ (Vijayakumar et al. 2018); sample: drawn from the model; "
        "gumbel: drawn without replacement (Kool et al. 2019)",
    )
    beam: int = Field(5, ge=1, le=WIDEST, description="hypotheses at a time; with kind beam, 1 is greedy")
    groups: int = Field(5, ge=1, description="diverse: how many; they divide `beam`")
    diversity: float = Field(
        0.5, ge=0.0, description="diverse: subtracted for each earlier group that says the same token"
    )
    temperature: float = Field(1.0, gt=0.0, description="sample and gumbel: below 1 the probable becomes more so")
    top_k: int = Field(0, ge=0, description="sample: from so many most probable tokens; 0 is all")
    top_p: float = Field(
        1.0, gt=0.0, le=1.0, description="sample: from the fewest tokens that make up this probability"
    )
    min_p: Part = Field(0.0, description="sample: from tokens at least this part as probable as the most probable one")
    seed: int = Field(1, ge=0, lt=2**63, description="sample and gumbel")
    minimum_bayes_risk: int = Field(
        0,
        ge=0,
        le=WIDEST,
        description="draw so many samples, take the one most like the others by chrF (Eikema & Aziz 2020); 0 is off",
    )
    length_penalty: float = Field(1.0, ge=0.0, description="the sum of log-probabilities is divided by length to this")
    coverage_penalty: float = Field(0.0, ge=0.0, description="for source that is never attended (Wu et al. 2016, 14)")
    repetition_penalty: float = Field(
        1.0, ge=1.0, description="tokens said before become less probable (Keskar et al. 2019)"
    )
    max_ratio: float = Field(
        2.0, gt=0.0, le=1000.0, description="output length is capped at ratio * source length + extra"
    )
    max_extra: int = Field(20, ge=0, le=100_000)
    min_length: int = Field(0, ge=0)
    output_length: Literal["free", "source"] = Field(
        "free", description="source: as many tokens out as in (words or characters); tags are so by themselves"
    )
    tags: Literal["any", "bio"] = Field("any", description="bio: I-x stands only after B-x or I-x")
    no_repeat_ngram: int = Field(0, ge=0, description="0 is off")
    language_model: str | None = Field(
        None, description="a language model's run, for shallow fusion (Gulcehre et al. 2015)"
    )
    language_model_weight: float = Field(0.2, ge=0.0)
    batch_tokens: int = Field(4096, ge=1)

    @model_validator(mode="after")
    def groups_divide_the_beam(self) -> Search:
        if self.kind == "diverse" and self.beam % self.groups:
            raise ValueError(f"search.groups is {self.groups}, which does not divide search.beam {self.beam}")
        return self
