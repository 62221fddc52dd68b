"""What a model is trained on: pairs of the corpus in batches, each time with new noise or gaps and in new pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from weft.data.batch import Batch, Order, Padded, Rows, pad
from weft.data.chance import Chance
from weft.data.corpus import Corpus, Prepared
from weft.data.direction import turned
from weft.data.factors import words_of
from weft.data.gaps import filled, other_gaps
from weft.data.noise import SOURCE_PIECES, TARGET_PIECES, drop_fed, mistyped, noisy, speckled
from weft.data.store import Ids
from weft.data.vocabulary import Vocabulary
from weft.recipe import Gaps, Recipe


class Examples:
    """The training pairs in batches. What an example is like depends on the seed, the epoch and its number alone."""

    def __init__(self, recipe: Recipe, data: Prepared) -> None:
        self.corpus = data.train
        self.source, self.target = data.source, data.target
        self.settings = recipe.data.noise
        self.max_length = recipe.data.max_length
        self.seed = recipe.training.seed
        sides = turned(recipe).vocabulary
        self.sampling = sides.source.sampling, sides.target.sampling
        self.rewritten = bool(self.settings.characters or self.sampling[0])
        self.gaps = recipe.data.gaps
        self.moved = bool(self.settings.drop or self.settings.swap or self.settings.mask)
        self.letters = data.source.letters if self.settings.characters else ""
        self.order = Order(
            self.corpus.source_lengths, self.corpus.target_lengths, recipe.training.batch_tokens, self.seed, data.mix
        )

    def batch(self, draw: Rows, epoch: int) -> Batch:
        """The examples that `order` drew for one batch of an epoch; there may be none."""
        if not len(draw):
            return read_batch(self.corpus, draw)
        rows = draw % len(self.corpus)
        chance = Chance(self.seed, epoch, draw)
        places = rows.tolist()
        if self.gaps:
            sources, targets = self.other_gaps(places, self.gaps, chance)
            batch = batch_of(pad(sources, last=Vocabulary.eos), targets, rows)
        elif self.corpus.positions:
            images = self.corpus.images(places)
            source: Padded = speckled(images, self.settings, chance) if self.settings.of_images else images
            batch = batch_of(source, self.targets(places, chance), rows)
        else:
            source = self.corpus.padded(places, self.sources(places, chance))
            batch = batch_of(source, self.targets(places, chance), rows)
        if self.settings.target_drop:
            drop_fed(batch.fed, self.settings.target_drop, chance, self.target.unk)
        return batch

    def record(self, row: int) -> dict[str, Any]:
        """A pair in pieces, for people to read."""
        row %= len(self.corpus)
        target = self.target.pieces(self.corpus.target(row).tolist())
        return {"row": row, "source": self.corpus.shown_source(row, self.source), "target": target}

    def other_gaps(self, rows: list[int], gaps: Gaps, chance: Chance) -> tuple[list[Ids], list[Ids]]:
        """Lines with other words taken out, and those; the stored pair where that gives too many pieces."""
        lines = [filled(self.corpus.source_text(row), self.corpus.target_text(row)) for row in rows]
        pairs = other_gaps(lines, gaps, chance)
        none = [np.zeros(0, np.int32)] * len(rows)
        sources = self.pieces(
            self.source, [pair[0] for pair in pairs], self.sampling[0], chance.seeds(SOURCE_PIECES), none
        )
        targets = self.pieces(
            self.target, [pair[1] for pair in pairs], self.sampling[1], chance.seeds(TARGET_PIECES), none
        )
        for place, row in enumerate(rows):
            if not (len(sources[place]) and len(targets[place])):
                sources[place], targets[place] = self.corpus.source(row), self.corpus.target(row)
        return sources, targets

    def sources(self, rows: list[int], chance: Chance) -> list[Ids]:
        if not (self.rewritten or self.moved):
            return [self.corpus.source(row) for row in rows]
        found = [self.corpus.unmarked_source(row) for row in rows]
        if self.rewritten:
            lines = [self.corpus.source_text(row) for row in rows]
            lines = [words_of(line) for line in lines] if self.source.factors else lines
            if self.settings.characters:
                lines = mistyped(lines, self.settings.characters, chance, self.letters)
            found = self.pieces(self.source, lines, self.sampling[0], chance.seeds(SOURCE_PIECES), found)
        if self.moved:
            found = noisy(found, self.settings, chance, self.source.unk)
        return [self.corpus.marked(row, ids) for row, ids in zip(rows, found, strict=True)]

    def targets(self, rows: list[int], chance: Chance) -> list[Ids]:
        found = [self.corpus.target(row) for row in rows]
        if not self.sampling[1]:
            return found
        lines = [self.corpus.target_text(row) for row in rows]
        return self.pieces(self.target, lines, self.sampling[1], chance.seeds(TARGET_PIECES), found)

    def pieces(
        self, vocabulary: Vocabulary, lines: list[str], sampling: float, seeds: list[int], otherwise: list[Ids]
    ) -> list[Ids]:
        """Ids of lines, drawn anew where they are sampled; `otherwise` where that gives none or too many."""
        if sampling:
            drawn = [vocabulary.sample(line, sampling, seed) for line, seed in zip(lines, seeds, strict=True)]
        else:
            drawn = vocabulary.encode_lines(lines)
        return [
            np.array(ids, np.int32) if 0 < len(ids) <= self.max_length else there
            for ids, there in zip(drawn, otherwise, strict=True)
        ]


def read_batch(corpus: Corpus, rows: Rows) -> Batch:
    """The pairs of these rows as they are."""
    places = rows.tolist()
    if corpus.positions:
        source: Padded = corpus.images(places)
    else:
        source = corpus.padded(places, [corpus.source(row) for row in places])
    return batch_of(source, [corpus.target(row) for row in places], rows)


def batch_of(source: Padded, targets: Sequence[Ids], rows: Rows) -> Batch:
    """Pairs as a model takes them."""
    return Batch(
        source=source,
        fed=pad(targets, first=Vocabulary.bos),
        gold=pad(targets, last=Vocabulary.eos),
        rows=rows,
    )
