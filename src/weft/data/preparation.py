"""From files to one folder of the cache: what becomes of each pair, vocabularies, encoded examples.

<folder>/  train/examples.arrow  dev/examples.arrow  source.model  target.model  counts.json
"""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import weft.recipe
from weft.data.cache import concerning, keeps_text
from weft.data.captions import named_at, pairs_for
from weft.data.counts import Counts, Part
from weft.data.direction import TOKENS
from weft.data.images import ImageError, ImageReader
from weft.data.read import Pair, has_source
from weft.data.store import SIDES, Add, Side, written
from weft.data.turns import TURN
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError, counted
from weft.files import write_text
from weft.recipe import Files, Recipe

BLOCK = 20_000  # pairs that are encoded and written together
BLOCK_OF_PIXELS = 1 << 27  # bytes of images
COUNTS = "counts.json"
SOURCE = "source.model"
TARGET = "target.model"
EXAMPLES_SHOWN = 3
TRAIN, DEV, EMPTY_SOURCE, EMPTY_TARGET, HELD_OUT, DROPPED = range(6)

Report = Callable[[str], None]


@dataclass
class Given:
    """One corpus to train on, and what becomes of each of its pairs."""

    key: str  # of the recipe
    files: Files
    read: Callable[[Files, str], Iterator[Pair]]
    counts: Part
    fates: bytearray = field(default_factory=bytearray)  # of each pair, TRAIN ... DROPPED
    hashes: array[int] = field(default_factory=lambda: array("Q"))  # of each pair that is usable

    def pairs(self) -> Iterator[Pair]:
        if self.key == "data.train":
            yield from self.read(self.files, self.key)
        else:
            with concerning(self.key):
                yield from self.read(self.files, self.key)

    def fated(self) -> Iterator[tuple[Pair, int]]:
        """The pairs again, each with its fate."""
        try:
            yield from zip(self.pairs(), self.fates, strict=True)
        except ValueError:
            raise WeftError(f"{self.key}: a file changed while it was read") from None


class Preparation:
    """Fills one folder; the files are read once for each step."""

    def __init__(self, recipe: Recipe, folder: Path, report: Report) -> None:
        self.recipe = recipe
        self.data = recipe.data
        self.images = of_images(recipe)
        self.settings = recipe.vocabulary
        self.threads = recipe.training.threads or os.cpu_count() or 1
        self.keeps_text = keeps_text(recipe)
        self.folder = folder
        self.report = report
        none = Part(max_length=self.data.max_length, duplicates_dropped=self.data.duplicates == "drop")
        self.counts = Counts(**vars(none), also=[replace(none) for _ in self.data.also])
        keys = ["data.train", *(f"data.also.{number}.train" for number in range(len(self.data.also)))]
        files = [self.data.train, *(mixed.train for mixed in self.data.also)]
        self.corpora = [
            Given(key, there, self.pairs, part) for key, there, part in zip(keys, files, self.counts.parts, strict=True)
        ]
        self.split_side: Side = 0 if has_source(self.data.train) else 1
        self.has_source = not self.images and any(has_source(corpus.files) for corpus in self.corpora)

    def pairs(self, files: Files, key: str) -> Iterator[Pair]:
        return pairs_for(self.recipe, files, self.data.columns, key)

    def run(self, vocabularies: tuple[Vocabulary, Vocabulary] | None, given: Vocabulary | None = None) -> None:
        """Without `vocabularies` they are learnt; of the source not where it is `given`."""
        begun = time.monotonic()
        self.report("reading the data")
        self.survey()
        if vocabularies is None:
            source, target = self.learn(given)
            self.counts.source_asked = self.settings.source.size if given is None else given.size
            self.counts.target_asked = (self.settings.source if self.settings.shared else self.settings.target).size
        else:
            source, target = vocabularies
            source.save(self.folder / SOURCE)
            target.save(self.folder / TARGET)
        self.counts.source_size, self.counts.target_size = source.size * self.has_source, target.size
        self.encode(source, target)
        self.counts.seconds = time.monotonic() - begun
        write_text(self.folder / COUNTS, json.dumps(asdict(self.counts), ensure_ascii=False, indent=2))

    def survey(self) -> None:
        """Decide what becomes of each pair; a few bytes of memory a pair."""
        held_out: frozenset[int] = frozenset()
        for number, corpus in enumerate(self.corpora):
            if number == 0 and self.data.dev is None:
                held_out = self.split(corpus)
            else:
                self.read(corpus, held_out)
            fates, counts = corpus.fates, corpus.counts
            counts.read, counts.held_out = len(fates), fates.count(HELD_OUT)
            counts.empty_source, counts.empty_target = fates.count(EMPTY_SOURCE), fates.count(EMPTY_TARGET)
            if not corpus.hashes:
                raise WeftError(f"{corpus.key}: no usable pair: {counts.summary()}")
        self.find_duplicates()

    def split(self, corpus: Given) -> frozenset[int]:
        """Hold a part of a corpus out by the hash of its sources; gives those hashes, if another corpus needs them.

        Where that is all pairs or none, the source with the smallest hash is held out.
        """
        for_dev, smallest = self.read(corpus, frozenset(), int(self.data.dev_fraction * 2**64))
        usable = len(corpus.hashes)
        if usable and corpus.fates.count(DEV) in (0, usable):
            corpus.fates, corpus.hashes = bytearray(), array("Q")
            for_dev, _ = self.read(corpus, frozenset(), smallest + 1)
            if len(for_dev) == usable:
                counts = replace(corpus.counts, read=len(corpus.fates))
                counts.empty_source = corpus.fates.count(EMPTY_SOURCE)
                counts.empty_target = corpus.fates.count(EMPTY_TARGET)
                side = SIDES[self.split_side]
                why = "one usable pair" if usable == 1 else f"usable pairs of one and the same {side}"
                raise WeftError(f"{corpus.key}: only {why}, so nothing is left to hold out: {counts.summary()}")
        return frozenset(for_dev) if self.data.also else frozenset()

    def read(self, corpus: Given, held_out: frozenset[int], reach: int = 0) -> tuple[array[int], int]:
        """Read a corpus once, for its `fates` and `hashes`.

        By the hash of the side that splits, pairs of `held_out` are left out, and those below `reach` are for
        development. Gives the hashes of the latter, and the smallest of all.
        """
        with_source, smallest, for_dev = has_source(corpus.files), 2**64, array("Q")
        fates, hashes = corpus.fates, corpus.hashes
        for pair in corpus.pairs():
            if with_source and not pair[0].strip():
                fates.append(EMPTY_SOURCE)
            elif not pair[1].strip():
                fates.append(EMPTY_TARGET)
            elif (side := hash64(self.split_key(pair))) in held_out:
                fates.append(HELD_OUT)
            else:
                hashes.append(hash64(f"{pair[0]}\n{pair[1]}"))
                smallest = min(smallest, side)
                fates.append(DEV if side < reach else TRAIN)
                if side < reach:
                    for_dev.append(side)
        return for_dev, smallest

    def split_key(self, pair: Pair) -> str:
        """What tells whether a pair is held out: of an image its name, wherever its folder is."""
        return Path(pair[0]).name if self.images else pair[self.split_side]

    def find_duplicates(self) -> None:
        """Count, of the pairs to train on, those that were there before, in the same corpus or another."""
        places, hashes = [], []
        for corpus in self.corpora:
            fate = np.frombuffer(corpus.fates, np.uint8)
            usable = np.flatnonzero(fate <= DEV)
            in_train = fate[usable] == TRAIN
            places.append(usable[in_train])
            hashes.append(np.frombuffer(corpus.hashes, np.uint64)[in_train])
        repeated = np.ones(sum(map(len, places)), np.bool_)
        repeated[np.unique(np.concatenate(hashes), return_index=True)[1]] = False
        start = 0
        for corpus, there in zip(self.corpora, places, strict=True):
            again = there[repeated[start : start + len(there)]]
            start += len(there)
            corpus.counts.duplicates = len(again)
            if corpus.counts.duplicates_dropped:
                np.frombuffer(corpus.fates, np.uint8)[again] = DROPPED

    def learn(self, given: Vocabulary | None) -> tuple[Vocabulary, Vocabulary]:
        def lines(*sides: Side) -> Iterator[str]:
            for corpus in self.corpora:
                yield from (pair[side] for pair, fate in corpus.fated() if fate == TRAIN for side in sides)

        def learnt(settings: weft.recipe.Vocabulary, name: str, *sides: Side) -> Vocabulary:
            control = TOKENS.values() if self.data.direction == "both" else ()
            whole = [TURN] if self.data.columns.turns and 0 in sides else []
            return Vocabulary.learn(
                lines(*sides), settings, self.settings.normalization, self.folder / name, control=control, whole=whole
            )

        self.report("learning the vocabulary")
        if given is not None:
            given.save(self.folder / SOURCE)
            return given, learnt(self.settings.target, TARGET, 1)
        if self.settings.shared:
            both = learnt(self.settings.source, SOURCE, 0, 1)
            return both, both
        if self.has_source:
            return learnt(self.settings.source, SOURCE, 0), learnt(self.settings.target, TARGET, 1)
        target = learnt(self.settings.target, TARGET, 1)
        target.save(self.folder / SOURCE)
        return target, target

    def encode(self, source: Vocabulary, target: Vocabulary) -> None:
        counts, for_dev = self.counts, Part(max_length=self.counts.max_length)
        self.tallies = Tally(source, self.threads), Tally(target, self.threads)
        done = 0
        shape = self.images.settings.shape if self.images else None
        block_size = BLOCK if shape is None else max(1, min(BLOCK, BLOCK_OF_PIXELS // prod(shape)))
        with (
            written(self.folder / "train", self.keeps_text, shape) as train,
            written(self.folder / "dev", True, shape) as dev,
        ):
            for corpus in self.corpora:
                with_source, pairs = has_source(corpus.files), corpus.fated()
                while block := list(islice(pairs, block_size)):
                    parts = [[pair for pair, fate in block if fate == wanted] for wanted in (TRAIN, DEV)]
                    with self.naming_images(corpus.files):
                        self.encode_part(parts[0], with_source, corpus.counts, train)
                        self.encode_part(parts[1], with_source, for_dev, dev)
                    done += len(block)
                    self.report(f"encoded {counted(done, 'pair')}")
                if not corpus.counts.kept:
                    raise WeftError(f"{corpus.key}: no pair is left to train on: {corpus.counts.summary()}")
            if self.data.dev is not None:
                pairs_for_dev = self.pairs(self.data.dev, "data.dev")
                while block_for_dev := list(islice(pairs_for_dev, block_size)):
                    with self.naming_images(self.data.dev):
                        self.encode_part(block_for_dev, has_source(self.data.dev), for_dev, dev)
        counts.dev, counts.dev_too_long = for_dev.kept, for_dev.too_long
        counts.dev_empty = for_dev.empty_source + for_dev.empty_target
        if not counts.dev:
            raise WeftError(f"no pair is left for development: {counts.summary()}")
        counts.unknown_source, counts.unknown_target = (tally.unknown / max(1, tally.pieces) for tally in self.tallies)
        counts.round_trip_failures = sum(tally.failures for tally in self.tallies)
        counts.round_trip_examples = [line for tally in self.tallies for line in tally.examples][:EXAMPLES_SHOWN]

    def encode_part(self, pairs: list[Pair], with_source: bool, counts: Part, add: Add) -> None:
        """Encode, count and write pairs of one fate."""
        sources = self.encoded_sources([pair[0] for pair in pairs])
        targets = self.tallies[1].encoded([pair[1] for pair in pairs])
        kept: list[tuple[Pair, Any, list[int]]] = []
        for pair, source, target in zip(pairs, sources, targets, strict=True):
            if with_source and not (len(source) and pair[0].strip()):  # or normalisation left nothing
                counts.empty_source += 1
            elif not (target and pair[1].strip()):
                counts.empty_target += 1
            elif max(len(source), len(target)) > counts.max_length:
                counts.too_long += 1
            else:
                kept.append((pair, source, target))
        if kept:
            lines, kept_sources, kept_targets = zip(*kept, strict=True)
            if not self.images:
                self.tallies[0].count([pair[0] for pair in lines], list(kept_sources))
            self.tallies[1].count([pair[1] for pair in lines], list(kept_targets))
            add(lines, kept_sources, kept_targets)
        counts.kept += len(kept)

    def encoded_sources(self, lines: list[str]) -> Sequence[Any]:
        """Ids of lines, or images (C,H,W) by their names; of an empty line nothing."""
        if self.images is None:
            return self.tallies[0].encoded(lines)
        return [self.images.read(name) if name else () for name in lines]

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


class Tally:
    """One side's vocabulary, and how well it has fitted the lines so far."""

    def __init__(self, vocabulary: Vocabulary, threads: int) -> None:
        self.vocabulary = vocabulary
        self.threads = threads
        self.pieces = self.unknown = self.failures = 0
        self.examples: list[str] = []

    def encoded(self, lines: list[str]) -> list[list[int]]:
        return self.vocabulary.encode_lines(lines, self.threads)

    def count(self, lines: list[str], encoded: list[list[int]]) -> None:
        self.pieces += sum(map(len, encoded))
        self.unknown += sum(ids.count(self.vocabulary.unk) for ids in encoded)
        if not self.vocabulary.restores:
            return
        back = self.vocabulary.decode_lines(encoded, self.threads)
        wrong = [line for line, other in zip(lines, back, strict=True) if line != other]
        self.failures += len(wrong)
        self.examples = [*self.examples, *wrong][:EXAMPLES_SHOWN]


def hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
