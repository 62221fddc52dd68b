"""Pairs to ids, block by block: what is kept of a block, and how well the vocabularies fit it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from weft.data.factors import words_of
from weft.data.images import ImageReader
from weft.data.ragged import Ragged
from weft.data.read import Pair
from weft.data.store import Images
from weft.data.vocabulary import Vocabulary
from weft.data.words import Words

EXAMPLES_SHOWN = 3
SHOWN = 80  # characters of an example

Places = NDArray[np.int64]


@dataclass
class Tally:
    """How well a vocabulary has fitted the lines of one side so far."""

    pieces: int = 0
    unknown: int = 0
    failures: int = 0  # lines that do not come back unchanged from their pieces
    examples: list[str] = field(default_factory=list)  # of them, the first that differ, as `changed` shows them

    def add(self, other: Tally) -> None:
        self.pieces += other.pieces
        self.unknown += other.unknown
        self.failures += other.failures
        self.examples = distinct(self.examples, other.examples)


def changed(line: str, back: str) -> str:
    """Both around the first character in which they differ, shortened where they are long: `'a▁b' comes back as 'a b'`.

    They begin at the same place.
    """
    shorter = min(len(line), len(back))
    at = next((place for place in range(shorter) if line[place] != back[place]), shorter)
    start = max(0, min(at - SHOWN // 2, max(len(line), len(back)) - SHOWN))
    return f"{part(line, start)!r} comes back as {part(back, start)!r}"


def part(line: str, start: int) -> str:
    """SHOWN characters of a line; `…` stands for what is before and after them."""
    end = start + SHOWN
    return "…" * (start > 0) + line[start:end] + "…" * (end < len(line))


def distinct(*lines: list[str]) -> list[str]:
    """The first few, each once."""
    return list(dict.fromkeys(chain(*lines)))[:EXAMPLES_SHOWN]


@dataclass(frozen=True)
class Encoded:
    """Pairs of one block as they are stored."""

    kept: list[int]  # places in the block
    source: Ragged | Images
    target: Ragged
    factors: Ragged | None  # the features of a source's words, those of a word together
    tallies: tuple[Tally, Tally]  # of the kept ones, by sides
    empty_source: int
    empty_target: int
    too_long: int


class Encoder:
    """Encodes the parts of a block, each for itself. A copy in another process has the same results.

    Where sources are names of images, `images` reads them; where targets are sets of labels, they may be empty.
    """

    def __init__(
        self,
        source: Vocabulary,
        target: Vocabulary,
        max_length: int,
        images: ImageReader | None = None,
        of_labels: bool = False,
    ) -> None:
        self.vocabularies = source, target
        self.max_length = max_length
        self.images = images
        self.of_labels = of_labels
        self.words: list[Words] = []

    def __reduce__(self) -> tuple[type[Encoder], tuple[Vocabulary, Vocabulary, int, ImageReader | None, bool]]:
        return Encoder, (*self.vocabularies, self.max_length, self.images, self.of_labels)

    def __call__(self, block: tuple[bool, list[list[Pair]]]) -> list[Encoded]:
        """What each part of a block is, whose pairs have sources or have none."""
        if not self.words:
            source = Words(self.vocabularies[0])
            shared = self.vocabularies[0] is self.vocabularies[1]
            self.words = [source, source if shared else Words(self.vocabularies[1])]
        with_source, parts = block
        return [self.encoded(with_source, pairs) for pairs in parts]

    def encoded(self, with_source: bool, pairs: list[Pair]) -> Encoded:
        lines = [[pair[side] for pair in pairs] for side in (0, 1)]
        factors = self.vocabularies[0].factors
        texts = [[""] * len(pairs) if self.images else lines[0], lines[1]]
        texts[0] = [words_of(line) for line in texts[0]] if factors else texts[0]
        found = [words.encode(side) for words, side in zip(self.words, texts, strict=True)]
        sides = [ragged for ragged, _ in found]
        there = [np.fromiter((bool(line.strip()) for line in side), np.bool_, len(side)) for side in lines]
        for side in (1,) if self.images else (0, 1):
            there[side] &= sides[side].lengths > 0  # unless normalisation leaves nothing
        if self.of_labels:
            there[1][:] = True
        empty_source = ~there[0] if with_source else np.zeros(len(pairs), np.bool_)
        empty_target = ~empty_source & ~there[1]
        longest = np.maximum(sides[0].lengths, sides[1].lengths)
        too_long = ~empty_source & ~empty_target & (longest > self.max_length)
        kept = ~(empty_source | empty_target | too_long)
        tallies = [
            self.tally(vocabulary, side, *of_side, kept)
            for vocabulary, side, of_side in zip(self.vocabularies, texts, found, strict=True)
        ]
        sides = sides if kept.all() else [ragged.chosen(kept) for ragged in sides]
        places = np.flatnonzero(kept).tolist()
        return Encoded(
            places,
            self.images.read_all([lines[0][place] for place in places]) if self.images else sides[0],
            sides[1],
            Ragged.of([factors.ids(lines[0][place]).ravel().tolist() for place in places]) if factors else None,
            (tallies[0], tallies[1]),
            *(int(np.count_nonzero(reason)) for reason in (empty_source, empty_target, too_long)),
        )

    def tally(
        self, vocabulary: Vocabulary, lines: list[str], ids: Ragged, doubtful: Places, kept: NDArray[np.bool_]
    ) -> Tally:
        """Of the kept lines; those that are not doubtful do come back."""
        places = doubtful[kept[doubtful]].tolist()
        back = vocabulary.decode_lines(ids.lists(places))
        wrong = [(lines[place], other) for place, other in zip(places, back, strict=True) if lines[place] != other]
        examples = [changed(*pair) for pair in list(dict.fromkeys(wrong))[:EXAMPLES_SHOWN]]
        unknown = int(np.count_nonzero((ids.values == vocabulary.unk) & np.repeat(kept, ids.lengths)))
        return Tally(int(ids.lengths[kept].sum()), unknown, len(wrong), examples)
