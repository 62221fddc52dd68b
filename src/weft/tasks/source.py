"""How lines become what a model's input end takes: ids of their pieces, or the images that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from weft.data.batch import Padded, Pixels, pad, pad_factored
from weft.data.direction import Direction, directed
from weft.data.factors import Factors, factored, words_of
from weft.data.gaps import GapCheck
from weft.data.images import ImageError, ImageReader, Picture
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.recipe import ImageInput, Recipe
from weft.tasks.line import Line, check_room

BLOCK = 4096  # lines that are sorted by length together
BLOCK_OF_PIXELS = 1 << 27  # bytes of images


class Source(Protocol):
    """`len()` of what `encoded` gives of a line is the number of its positions, 0 where the line is empty."""

    block: int  # lines in memory at a time

    def encoded(self, lines: Sequence[Line], direction: Direction) -> Sequence[Any]:
        """WeftError for a line that the model cannot take."""

    def padded(self, sources: Sequence[Any]) -> Padded: ...

    def pieces(self, source: Any) -> list[str]:
        """What stands for each position that attention may have, but for the end of a line of text."""

    def unknown(self, source: Any) -> int:
        """How many of its positions the model has never seen."""


class TokenSource:
    """Ids, without `eos`."""

    block = BLOCK

    def __init__(self, recipe: Recipe, vocabulary: Vocabulary) -> None:
        self.recipe = recipe
        self.vocabulary = vocabulary
        self.gaps = GapCheck(recipe.data.gaps, vocabulary) if recipe.data.gaps else None

    def encoded(self, lines: Sequence[Line], direction: Direction) -> Sequence[Any]:
        texts = [line.text if line.text.strip() else "" for line in lines]  # as nothing is learnt of spaces alone
        if self.recipe.tags in ("words", "both"):
            texts = [" ".join(text.split()) for text in texts]
        ids = self.vocabulary.encode_lines(texts)
        if self.gaps:
            for line, of_line in zip(lines, ids, strict=True):
                self.gaps.check(line.number, line.text, of_line)
        return self.within_room(lines, directed(ids, direction, self.recipe, self.vocabulary))

    def within_room(self, lines: Sequence[Line], ids: list[list[int]]) -> list[list[int]]:
        """WeftError for a line that the encoder has no positions for."""
        longest = self.recipe.model.longest_source
        if longest is not None:
            check_room("encoder", lines, [len(of_line) for of_line in ids], longest)
        return ids

    def padded(self, sources: Sequence[Any]) -> Padded:
        return pad(sources, last=Vocabulary.eos)

    def pieces(self, source: Any) -> list[str]:
        return self.vocabulary.pieces(source)

    def unknown(self, source: Any) -> int:
        return int(source.count(self.vocabulary.unk))


class FactoredIds(list[int]):
    """Ids, with the features (W,F) of the words."""

    def __init__(self, ids: Sequence[int], features: NDArray[np.int32]) -> None:
        super().__init__(ids)
        self.features = features


class FactoredSource(TokenSource):
    """Ids of words with features beside them (`weft.data.factors`)."""

    def __init__(self, recipe: Recipe, vocabulary: Vocabulary, factors: Factors) -> None:
        super().__init__(recipe, vocabulary)
        self.factors = factors

    def encoded(self, lines: Sequence[Line], direction: Direction) -> list[FactoredIds]:
        texts = [self.checked(line) for line in lines]
        ids = self.vocabulary.encode_lines([words_of(text) for text in texts])
        ids = self.within_room(lines, directed(ids, direction, self.recipe, self.vocabulary))
        return [FactoredIds(of_line, self.factors.ids(text)) for of_line, text in zip(ids, texts, strict=True)]

    def checked(self, line: Line) -> str:
        if not self.factors.columns:
            return " ".join(line.text.split())
        return factored(line.text.split("\t"), self.factors.columns, f"line {line.number + 1}")

    def padded(self, sources: Sequence[FactoredIds]) -> Padded:
        return pad_factored(sources, [source.features for source in sources], self.vocabulary.starts, Vocabulary.eos)


@dataclass(frozen=True)
class Seen:
    """An image as a model sees it."""

    pixels: Picture  # (C,H,W)
    positions: int

    def __len__(self) -> int:
        return self.positions


class ImageSource:
    """Images by their names (`ImageReader`)."""

    def __init__(self, recipe: Recipe, settings: ImageInput) -> None:
        self.settings = settings
        self.reader = ImageReader(settings, recipe.data.columns)
        self.block = max(1, min(BLOCK, BLOCK_OF_PIXELS // prod(settings.shape)))

    def encoded(self, lines: Sequence[Line], direction: Direction) -> list[Seen]:
        if direction == "backward":
            raise WeftError("this model goes from images to text, not back")
        return [self.seen(line) for line in lines]

    def seen(self, line: Line) -> Seen:
        if not line.text.strip():
            return Seen(np.zeros(self.settings.shape, np.uint8), 0)
        try:
            return Seen(self.reader.read(line.text), self.settings.positions)
        except ImageError as error:
            raise ImageError(f"line {line.number + 1}: {error}", error.image) from None

    def padded(self, sources: Sequence[Seen]) -> Pixels:
        pixels = torch.from_numpy(np.stack([source.pixels for source in sources]))
        return Pixels(pixels, torch.full((len(sources),), self.settings.positions))

    def pieces(self, source: Seen) -> list[str]:
        """`row,column`, both from 1."""
        rows, columns = self.settings.grid
        return [f"{row},{column}" for row in range(1, rows + 1) for column in range(1, columns + 1)]

    def unknown(self, source: Seen) -> int:
        return 0


def source_of(recipe: Recipe, vocabulary: Vocabulary) -> Source:
    """What the model of this recipe reads."""
    if recipe.model.input.kind == "image":
        return ImageSource(recipe, recipe.model.input)
    if vocabulary.factors:
        return FactoredSource(recipe, vocabulary, vocabulary.factors)
    return TokenSource(recipe, vocabulary)
