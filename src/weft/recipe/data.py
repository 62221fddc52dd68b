"""Settings of the data: files, what is done to them, and their vocabularies."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from weft.recipe.section import Part, Section
from weft.recipe.series import Series

GAP = "<gap>"  # stands in a line for words that were taken out, and between the answers to several gaps
MOST_PIECES = 10_000_000


class Parallel(Section):
    """Two files (or lists of files) that belong together line by line; `source: null` is text without a source."""

    source: str | list[str] | None
    target: str | list[str]


Files = str | list[str] | Parallel


class Columns(Section):
    """Which columns of a TSV, CSV, JSONL or Parquet file hold the two sides: a name, or a number from 1.

    A name means that the first line of a TSV or CSV file names the columns. Of a list, the columns' texts follow one
    another with a space between. With `turns`, `source` is the key that holds a conversation: a name, or a number from
    1 of those that hold lists.
    """

    source: str | int | list[str | int] = 1
    target: str | int | list[str | int] = 2
    factors: list[str | int] = Field(
        [], description="columns that hold a feature for each word of the source, such as its part of speech"
    )
    turns: int | None = Field(
        None, ge=1, description="JSONL of conversations: each answer is a target, so many turns before it the source"
    )
    answers: str | None = Field(
        None, description="with `turns`: answers are the turns of this role; null: all turns but the first"
    )

    header: bool | None = Field(
        None,
        description="whether the first line of TSV and CSV names the columns; null: where it reads so, which is told",
    )

    @property
    def named(self) -> bool:
        """Whether a column is called by a name, which only a header can tell."""
        sides = (side if isinstance(side, list) else [side] for side in (self.source, self.target, self.factors))
        return any(isinstance(column, str) for side in sides for column in side)

    @property
    def headed(self) -> bool | None:
        """Whether the first line of TSV and CSV names the columns; None where nobody has said it."""
        return True if self.named else self.header

    @field_validator("source", "target")
    @classmethod
    def a_list_names_columns(cls, columns: Any) -> Any:
        if columns == []:
            raise ValueError("data.columns has an empty list; expected a name, a number from 1, or a list of these")
        return columns

    @model_validator(mode="after")
    def names_stand_in_a_header(self) -> Columns:
        if self.header is False and self.named:
            raise ValueError("data.columns.header is false, but a column is called by its name, which a header gives")
        return self

    @model_validator(mode="after")
    def a_conversation_has_both_sides(self) -> Columns:
        if self.turns is None:
            if self.answers is not None:
                raise ValueError(f"data.columns.answers is '{self.answers}', which needs data.columns.turns")
        elif isinstance(self.source, list) or self.target != 2:
            raise ValueError(
                "data.columns.turns takes both sides from one list: `source` is its key, `target` has no part"
            )
        elif self.factors:
            raise ValueError("data.columns.factors are columns beside the words, and data.columns.turns has none")
        return self


class Mixed(Section):
    """One of several corpora that are trained on together."""

    train: Files
    weight: float = Field(1.0, gt=0.0, description="how often each of its pairs is seen in an epoch; 0.5: every other")


class Noise(Section):
    """What is done anew to each source or target each time that it is trained on; never to development data."""

    drop: Part = Field(0.0, description="probability that a source token is left out")
    mask: Part = Field(0.0, description="probability that a source token becomes unknown")
    swap: int = Field(0, ge=0, description="source tokens move by at most so many places (Lample et al. 2018)")
    characters: Part = Field(0.0, description="probability that a character is left out, doubled, swapped or replaced")
    target_drop: Part = Field(0.0, description="probability that a token fed to the decoder becomes unknown")
    pixel_drop: Part = Field(0.0, description="probability that a pixel of an image becomes black")
    pixel_noise: float = Field(
        0.0, ge=0.0, description="deviation of the Gaussian noise on the values of an image, which are 0 to 1"
    )

    @property
    def of_images(self) -> bool:
        return bool(self.pixel_drop or self.pixel_noise)


class Gaps(Section):
    """Lines alone become pairs: some words of each are taken out, other ones each time, and are to be said (cloze)."""

    count: int = Field(1, ge=1, description="gaps in a line: from one to so many, each number as often")
    longest: int = Field(1, ge=1, description="words in a gap: from one to so many, each number as often")


class Data(Section):
    train: Files = Field(description="a file, a glob, a list of them, '-' for standard input, or {source, target}")
    also: list[Mixed] = Field([], description="further corpora to train on, each with its weight")
    dev: Files | None = Field(None, description="held-out pairs; without it a part of `train` is split off by hash")
    test: Files | None = Field(None, description="what `weft evaluate RUN` scores when it is given no file")
    columns: Columns = Columns()
    images: str | None = Field(
        None, description="the folder that names of images start from; null: that of the file which names them"
    )
    direction: Literal["forward", "backward", "both"] = Field(
        "forward", description="backward: target to source; both: one model, told by the source's first token"
    )
    dev_fraction: float = Field(0.05, gt=0.0, le=0.5, description="part of `train` held out when `dev` is not given")
    max_length: int = Field(256, ge=1, description="longer pairs, in pieces of either side, are left out and counted")
    duplicates: Literal["keep", "drop"] = Field("keep", description="what becomes of a pair that was there before")
    noise: Noise = Noise()
    gaps: Gaps | None = Field(None, description="fill gaps: `train` and `dev` are lines alone (`source: null`)")
    series: Series | None = Field(None, description="forecasting: how the numbers of `train` are read")

    @property
    def trained_on(self) -> list[Files]:
        """The files of each corpus to train on, then those to develop with, where they are given."""
        return [self.train, *(mixed.train for mixed in self.also), *([] if self.dev is None else [self.dev])]

    @field_validator("train", "dev", "test", mode="before")
    @classmethod
    def a_lone_dash_is_standard_input(cls, files: Any) -> Any:
        return "-" if files == [None] else files  # how YAML reads `{train: -}`

    @model_validator(mode="after")
    def conversations_go_forward(self) -> Data:
        if self.columns.turns and self.direction != "forward":
            raise ValueError(f"data.columns.turns makes answers the targets, but data.direction is '{self.direction}'")
        return self

    @model_validator(mode="after")
    def gaps_are_taken_out_of_lines(self) -> Data:
        if self.gaps is None:
            return self
        given = {"data.train": self.train, "data.dev": self.dev}
        given |= {f"data.also.{number}.train": mixed.train for number, mixed in enumerate(self.also)}
        for key, files in given.items():
            if files is not None and not (isinstance(files, Parallel) and files.source is None):
                raise ValueError(f"data.gaps makes pairs of lines; expected {key}: {{source: null, target: FILE}}")
        asked = {f"data.noise.{key}": getattr(self.noise, key) for key in ("drop", "mask", "swap", "characters")}
        if wrong := next((key for key, value in asked.items() if value), None):
            raise ValueError(f"{wrong} has no place beside data.gaps, which it could take out or move")
        return self


class Vocabulary(Section):
    """Pieces of one side (or of both, where `shared`)."""

    kind: Literal["word", "character", "bpe", "unigram"] = "bpe"
    size: int = Field(8000, ge=8, le=MOST_PIECES, description="at most so many pieces; fewer where the data has fewer")
    byte_fallback: bool = Field(True, description="spell out unseen characters as bytes (bpe and unigram)")
    sampling: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="other pieces each time a line is trained on: unigram's alpha (Kudo 2018), or bpe's dropout",
    )

    @model_validator(mode="after")
    def only_pieces_can_be_sampled(self) -> Vocabulary:
        if self.sampling and self.kind not in ("bpe", "unigram"):
            raise ValueError(f"vocabulary sampling needs kind bpe or unigram; a {self.kind} is always the same piece")
        return self


class Factors(Section):
    """Features that stand beside each word of the source: those of `data.columns.factors`, then those derived."""

    derived: list[Literal["lower", "shape", "prefix2", "prefix3", "suffix2", "suffix3"]] = Field(
        [], description="read off the word: in small letters, its shape (`Xx`, `d-x`), its first or last 2 or 3 letters"
    )
    size: int = Field(
        1000, ge=8, le=MOST_PIECES, description="at most so many features of each factor; rarer ones are unknown"
    )


class Vocabularies(Section):
    shared: bool = Field(False, description="one vocabulary for both sides, made from `source`")
    source: Vocabulary = Vocabulary()
    target: Vocabulary = Vocabulary()
    factors: Factors = Factors()
    normalization: Literal["identity", "nfkc"] = Field("identity", description="identity gives back what went in")

    @property
    def of_words(self) -> tuple[bool, bool]:
        """Whether the pieces of each side are words."""
        return self.source.kind == "word", (self.source if self.shared else self.target).kind == "word"
