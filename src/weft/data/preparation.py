"""From files to one folder of the cache: what becomes of each pair, vocabularies, encoded examples.

<folder>/  train/examples.arrow  dev/examples.arrow  source.model  target.model  counts.json
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import weft.recipe
from weft.data.cache import concerning, keeps_text
from weft.data.captions import named_at, pairs_for
from weft.data.column import Column
from weft.data.counts import Counts, Part
from weft.data.direction import TOKENS
from weft.data.encoding import Encoded, Encoder, Tally, distinct
from weft.data.factors import Factors, words_of
from weft.data.gaps import pieces_of_gaps
from weft.data.images import ImageError, ImageReader
from weft.data.lack import lack
from weft.data.read import Pair, has_source, names
from weft.data.store import SIDES, Add, Side, written
from weft.data.survey import (
    DEV,
    DROPPED,
    EMPTY_SOURCE,
    EMPTY_TARGET,
    HELD_OUT,
    TRAIN,
    Hashes,
    Survey,
    digest,
    hashes,
    repeated,
    trained_on,
)
from weft.data.turns import TURN
from weft.data.vocabulary import SPACE, Vocabulary
from weft.data.workers import Workers
from weft.errors import WeftError, counted
from weft.files import write_text
from weft.recipe import Files, Recipe

BLOCK = 20_000  # pairs that are read, encoded and written together
BLOCK_OF_PIXELS = 1 << 27  # bytes of images
COMPARED = 1 << 22  # hashes that are sorted at once
PROCESSES = 16  # at most where the recipe does not say; the first process keeps no more busy
EVERY = 2.0  # seconds from one report of the pace to the next
COUNTS = "counts.json"
SOURCE = "source.model"
TARGET = "target.model"
NO_HASHES = np.zeros(0, np.uint64)

Report = Callable[[str], None]


@dataclass
class Given:
    """One corpus to train on, and what becomes of each of its pairs."""

    key: str  # of the recipe
    files: Files
    read: Callable[[Files, str], Iterator[Pair]]
    counts: Part
    fates: Column  # of each pair, TRAIN ... DROPPED
    hashes: Column  # of each pair, 0 where it is not usable
    together: int  # pairs that are read and worked on

    def pairs(self) -> Iterator[Pair]:
        if self.key == "data.train":
            yield from self.read(self.files, self.key)
        else:
            with concerning(self.key):
                yield from self.read(self.files, self.key)

    def fated(self) -> Iterator[tuple[list[Pair], NDArray[np.uint8]]]:
        """The pairs again in blocks, with their fates."""
        fates, start = self.fates.numbers, 0
        for block in blocks(self.pairs(), self.together):
            start += len(block)
            if start > len(fates):
                break
            yield block, fates[start - len(block) : start]
        if start != len(fates):
            raise WeftError(f"{self.key}: a file changed while it was read")

    def count(self, fate: int) -> int:
        return int(np.count_nonzero(self.fates.numbers == fate))

    @property
    def usable(self) -> int:
        return int(np.count_nonzero(self.fates.numbers <= DEV))


def blocks(pairs: Iterator[Pair], size: int) -> Iterator[list[Pair]]:
    while block := list(islice(pairs, size)):
        yield block


class Pace:
    """Tells how many pairs are done, and how many a second, every now and then."""

    def __init__(self, report: Report, done: str) -> None:
        self.report = report
        self.done = done
        self.pairs = 0
        self.began = self.told = time.monotonic()

    def add(self, pairs: int) -> None:
        self.pairs += pairs
        if time.monotonic() - self.told >= EVERY:
            self.tell()

    def tell(self) -> None:
        self.told = time.monotonic()
        rate = self.pairs / max(1e-3, self.told - self.began)
        self.report(f"{self.done} {counted(self.pairs, 'pair')}, {rate:,.0f} a second")


class Preparation:
    """Fills one folder; the files are read once for each step."""

    def __init__(self, recipe: Recipe, folder: Path, report: Report) -> None:
        self.recipe = recipe
        self.data = recipe.data
        self.images = of_images(recipe)
        self.of_labels = recipe.tags == "labels"
        pixels = prod(self.images.settings.shape) if self.images else 0
        self.together = max(1, min(BLOCK, BLOCK_OF_PIXELS // pixels)) if pixels else BLOCK
        self.settings = recipe.vocabulary
        self.threads = recipe.training.threads or min(os.cpu_count() or 1, PROCESSES)
        self.keeps_text = keeps_text(recipe)
        self.folder = folder
        self.report = report
        none = Part(max_length=self.data.max_length, duplicates_dropped=self.data.duplicates == "drop")
        self.counts = Counts(**vars(none), also=[replace(none) for _ in self.data.also])
        keys = ["data.train", *(f"data.also.{number}.train" for number in range(len(self.data.also)))]
        files = [self.data.train, *(mixed.train for mixed in self.data.also)]
        self.corpora = [
            Given(key, there, self.pairs, part, Column(folder, np.uint8), Column(folder, np.uint64), self.together)
            for key, there, part in zip(keys, files, self.counts.parts, strict=True)
        ]
        self.split_side: Side = 0 if self.data.gaps or has_source(self.data.train) else 1
        with_source = self.data.gaps or any(has_source(corpus.files) for corpus in self.corpora)
        self.has_source = not self.images and bool(with_source)

    def pairs(self, files: Files, key: str) -> Iterator[Pair]:
        return pairs_for(self.recipe, files, self.data.columns, key)

    def run(
        self,
        vocabularies: tuple[Vocabulary, Vocabulary] | None,
        source: Vocabulary | None = None,
        target: Vocabulary | None = None,
    ) -> None:
        """Without `vocabularies` they are learnt, but for a `source` or a `target` that is given."""
        threaded = self.recipe.model.has_tokenizer  # which has threads of its own
        with Workers(1 if self.images or threaded else self.threads) as workers:
            self.workers = workers
            self.fill(vocabularies, source, target)

    def fill(
        self,
        vocabularies: tuple[Vocabulary, Vocabulary] | None,
        of_source: Vocabulary | None,
        of_target: Vocabulary | None,
    ) -> None:
        begun = time.monotonic()
        self.report("reading the data")
        self.survey()
        if vocabularies is None:
            source, target = self.learn(of_source, of_target)
            settings = self.settings.source if self.settings.shared else self.settings.target
            self.counts.source_asked = of_source.size if of_source else self.settings.source.size
            self.counts.target_asked = of_target.size if of_target else settings.size
        else:
            source, target = vocabularies
            source.save(self.folder / SOURCE)
            target.save(self.folder / TARGET)
        self.counts.source_size, self.counts.target_size = source.size * self.has_source, target.size
        self.encode(source, target)
        self.counts.seconds = time.monotonic() - begun
        write_text(self.folder / COUNTS, json.dumps(asdict(self.counts), ensure_ascii=False, indent=2))

    def survey(self) -> None:
        """Decide what becomes of each pair."""
        held_out = NO_HASHES
        self.pace = Pace(self.report, "read")
        for number, corpus in enumerate(self.corpora):
            if number == 0 and self.data.dev is None:
                held_out = self.split(corpus)
            else:
                self.read(corpus, held_out)
            counts = corpus.counts
            counts.read, counts.held_out = len(corpus.fates), corpus.count(HELD_OUT)
            counts.empty_source, counts.empty_target = corpus.count(EMPTY_SOURCE), corpus.count(EMPTY_TARGET)
            if not corpus.usable:
                why = lack(corpus.files, self.data.columns, counts.read)
                raise WeftError(f"{corpus.key}: no usable pair: {counts.summary()}{why and f'; {why}'}")
        self.find_duplicates()

    def split(self, corpus: Given) -> Hashes:
        """Hold a part of a corpus out by the hash of its sources; gives those hashes, if another corpus needs them.

        Where that is all pairs or none, the source with the smallest hash is held out.
        """
        for_dev, smallest = self.read(corpus, NO_HASHES, int(self.data.dev_fraction * 2**64))
        usable = corpus.usable
        if usable and corpus.count(DEV) in (0, usable):
            corpus.fates.clear()
            corpus.hashes.clear()
            for_dev, _ = self.read(corpus, NO_HASHES, smallest + 1)
            if corpus.count(DEV) == usable:
                counts = replace(corpus.counts, read=len(corpus.fates))
                counts.empty_source, counts.empty_target = corpus.count(EMPTY_SOURCE), corpus.count(EMPTY_TARGET)
                side = SIDES[self.split_side]
                why = "one usable pair" if usable == 1 else f"usable pairs of one and the same {side}"
                raise WeftError(f"{corpus.key}: only {why}, so nothing is left to hold out: {counts.summary()}")
        return for_dev if self.data.also else NO_HASHES

    def read(self, corpus: Given, held_out: Hashes, reach: int = 0) -> tuple[Hashes, int]:
        """Read a corpus once, for its `fates` and `hashes`.

        By the hash of the side that splits, pairs of `held_out` are left out, and those below `reach` are for
        development. Gives the hashes of the latter, and the smallest of all.
        """
        smallest, for_dev = 2**64 - 1, [NO_HASHES]
        survey = Survey(
            has_source(corpus.files), self.split_side, of_images=self.images is not None, of_labels=self.of_labels
        )
        for pairs, seen in self.workers.each(survey, blocks(corpus.pairs(), self.together)):
            usable = seen.fates == TRAIN
            fates = seen.fates.copy()
            if reach:
                chosen = usable & (seen.sides <= np.uint64(min(reach, 2**64) - 1))
                fates[chosen] = DEV
                for_dev.append(np.unique(seen.sides[chosen]))
            if len(held_out):
                fates[usable & np.isin(seen.sides, held_out)] = HELD_OUT
            smallest = min(smallest, int(seen.sides[usable].min(initial=2**64 - 1)))
            corpus.fates.extend(fates)
            corpus.hashes.extend(seen.pairs)
            self.pace.add(len(pairs))
        return np.unique(np.concatenate(for_dev)), smallest

    def find_duplicates(self) -> None:
        """Count, of the pairs to train on, those that were there before, in the same corpus or another."""
        for corpus, again in zip(self.corpora, repeated(self.columns, COMPARED), strict=True):
            corpus.counts.duplicates = len(again)
            if corpus.counts.duplicates_dropped:
                corpus.fates.numbers[again] = DROPPED

    @property
    def columns(self) -> list[tuple[NDArray[np.uint8], Hashes]]:
        """Fates and hashes of the pairs of each corpus."""
        return [(corpus.fates.numbers, corpus.hashes.numbers) for corpus in self.corpora]

    def learn(self, source: Vocabulary | None, target: Vocabulary | None) -> tuple[Vocabulary, Vocabulary]:
        def lines(*sides: Side) -> Iterator[str]:
            if self.recipe.factors:
                return (words_of(pair[0]) if side == 0 else pair[side] for pair in self.to_train() for side in sides)
            return (pair[side] for pair in self.to_train() for side in sides)

        def made(given: Vocabulary | None, settings: weft.recipe.Vocabulary, name: str, *sides: Side) -> Vocabulary:
            if given is not None:
                given.save(self.folder / name)
                return given
            control = TOKENS.values() if self.data.direction == "both" else ()
            whole = [SPACE + TURN] if self.data.columns.turns and 0 in sides else []
            if self.data.gaps:
                whole = pieces_of_gaps(settings.kind)
            return Vocabulary.learn(
                lines(*sides), settings, self.settings.normalization, self.folder / name, control=control, whole=whole
            )

        self.report("learning the vocabulary")
        if self.settings.shared:
            both = self.with_factors(made(source, self.settings.source, SOURCE, 0, 1))
            return both, both
        if source is not None or self.has_source:
            source = self.with_factors(made(source, self.settings.source, SOURCE, 0))
            return source, made(target, self.settings.target, TARGET, 1)
        target = made(target, self.settings.target, TARGET, 1)
        target.save(self.folder / SOURCE)
        return target, target

    def with_factors(self, source: Vocabulary) -> Vocabulary:
        """The same pieces, with the features that the recipe wants beside their words."""
        if not self.recipe.factors:
            return source
        settings, columns = self.settings.factors, len(self.data.columns.factors)
        sources = (pair[0] for pair in self.to_train())
        source = source.with_factors(Factors.learn(sources, columns, settings.derived, settings.size))
        source.save(self.folder / SOURCE)
        return source

    def to_train(self) -> Iterator[Pair]:
        """The pairs to train on, of all corpora."""
        for corpus in self.corpora:
            for pairs, fates in corpus.fated():
                yield from (pairs[place] for place in np.flatnonzero(fates == TRAIN).tolist())

    def encode(self, source: Vocabulary, target: Vocabulary) -> None:
        counts, for_dev = self.counts, Part(max_length=self.counts.max_length)
        self.tallies = Tally(), Tally()
        encoder = Encoder(source, target, counts.max_length, self.images, self.of_labels)
        pace = Pace(self.report, "encoded")
        factors = source.factors.sizes if source.factors else []
        small = max(source.size, target.size, *factors) <= 2**16
        shape = self.images.settings.shape if self.images else None
        with (
            written(self.folder / "train", self.keeps_text, small, shape, bool(factors)) as train,
            written(self.folder / "dev", True, small, shape, bool(factors)) as dev,
        ):
            for corpus in self.corpora:
                with self.naming_images(corpus.files):
                    for (_, parts), encoded in self.workers.each(encoder, parted(corpus)):
                        self.put(parts[0], encoded[0], corpus.counts, train)
                        self.put(parts[1], encoded[1], for_dev, dev)
                        pace.add(sum(map(len, parts)))
                if not corpus.counts.kept:
                    raise WeftError(f"{corpus.key}: no pair is left to train on: {corpus.counts.summary()}")
            if self.data.dev is not None:
                with_source = has_source(self.data.dev)
                pairs_for_dev = blocks(self.pairs(self.data.dev, "data.dev"), self.together)
                blocks_for_dev = ((with_source, [pairs]) for pairs in pairs_for_dev)
                seen: list[bytes] = []
                with self.naming_images(self.data.dev):
                    for (_, parts), encoded in self.workers.each(encoder, blocks_for_dev):
                        self.put(parts[0], encoded[0], for_dev, dev)
                        seen += [digest(parts[0][place]) for place in encoded[0].kept]
                counts.dev_trained = trained_on(hashes(seen), self.columns, COMPARED)
        pace.tell()
        counts.dev, counts.dev_too_long = for_dev.kept, for_dev.too_long
        counts.dev_empty = for_dev.empty_source + for_dev.empty_target
        if not counts.dev:
            raise WeftError(self.nothing_for_dev(for_dev))
        counts.unknown_source, counts.unknown_target = (tally.unknown / max(1, tally.pieces) for tally in self.tallies)
        counts.round_trip_failures = sum(tally.failures for tally in self.tallies)
        counts.round_trip_examples = distinct(*(tally.examples for tally in self.tallies))

    def nothing_for_dev(self, found: Part) -> str:
        if self.data.dev is None:
            return f"no pair is left for development: {self.counts.summary()}"
        found.read = found.empty_source + found.empty_target + found.too_long
        why = lack(self.data.dev, self.data.columns, found.read)
        files = ", ".join(names(self.data.dev))
        return f"data.dev ({files}): no pair is left for development: {found.summary()}{why and f'; {why}'}"

    def put(self, pairs: list[Pair], encoded: Encoded, counts: Part, add: Add) -> None:
        """Count and write pairs of one fate."""
        for tally, more in zip(self.tallies, encoded.tallies, strict=True):
            tally.add(more)
        counts.empty_source += encoded.empty_source
        counts.empty_target += encoded.empty_target
        counts.too_long += encoded.too_long
        counts.kept += len(encoded.kept)
        if encoded.kept:
            add([pairs[place] for place in encoded.kept], encoded.source, encoded.target, encoded.factors)

    @contextmanager
    def naming_images(self, files: Files) -> Iterator[None]:
        """A WeftError about an image in here says also where the files name it."""
        try:
            yield
        except ImageError as error:
            raise WeftError(f"{named_at(files, error.image, self.data.images)}{error}") from None


def of_images(recipe: Recipe) -> ImageReader | None:
    """What reads the sources of a recipe whose model takes images."""
    if recipe.model.input.kind != "image":
        return None
    return ImageReader(recipe.model.input, recipe.data.columns)


def parted(corpus: Given) -> Iterator[tuple[bool, list[list[Pair]]]]:
    """Blocks of a corpus, in each the pairs to train on and those for development."""
    with_source = has_source(corpus.files)
    for pairs, fates in corpus.fated():
        yield with_source, [[pairs[place] for place in np.flatnonzero(fates == fate).tolist()] for fate in (TRAIN, DEV)]
