"""From files to one folder of the cache: what becomes of each pair, vocabularies, encoded examples.

<folder>/  train/examples.arrow  dev/examples.arrow  source.model  target.model  counts.json
"""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np

import weft.recipe
from weft.data.cache import concerning, keeps_text
from weft.data.counts import Counts, Part
from weft.data.direction import TOKENS
from weft.data.read import Pair, has_source
from weft.data.store import SIDES, Add, Side, written
from weft.data.tagged import Of, pairs_in
from weft.data.turns import TURN
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError, counted
from weft.files import write_text
from weft.recipe import Columns, Files, Recipe

BLOCK = 20_000  # pairs that are encoded and written together
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
    columns: Columns
    counts: Part
    tags: Of | None = None  # what the targets are tags of
    fates: bytearray = field(default_factory=bytearray)  # of each pair, TRAIN ... DROPPED
    hashes: array[int] = field(default_factory=lambda: array("Q"))  # of each pair that is usable

    def pairs(self) -> Iterator[Pair]:
        if self.key == "data.train":
            yield from pairs_in(self.files, self.columns, self.tags, self.key)
        else:
            with concerning(self.key):
                yield from pairs_in(self.files, self.columns, self.tags, self.key)

    def fated(self) -> Iterator[tuple[Pair, int]]:
        """The pairs again, each with its fate."""
        try:
            yield from zip(self.pairs(), self.fates, strict=True)
        except ValueError:
            raise WeftError(f"{self.key}: a file changed while it was read") from None


class Preparation:
    """Fills one folder; the files are read once for each step."""

    def __init__(self, recipe: Recipe, folder: Path, report: Report) -> None:
        self.data = recipe.data
        self.settings = recipe.vocabulary
        self.threads = recipe.training.threads or os.cpu_count() or 1
        self.keeps_text = keeps_text(recipe)
        self.tags = recipe.tags
        self.folder = folder
        self.report = report
        none = Part(max_length=self.data.max_length, duplicates_dropped=self.data.duplicates == "drop")
        self.counts = Counts(**vars(none), also=[replace(none) for _ in self.data.also])
        keys = ["data.train", *(f"data.also.{number}.train" for number in range(len(self.data.also)))]
        files = [self.data.train, *(mixed.train for mixed in self.data.also)]
        self.corpora = [
            Given(key, there, self.data.columns, part, self.tags)
            for key, there, part in zip(keys, files, self.counts.parts, strict=True)
        ]
        self.split_side: Side = 0 if has_source(self.data.train) else 1
        self.has_source = any(has_source(corpus.files) for corpus in self.corpora)

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
            elif (side := hash64(pair[self.split_side])) in held_out:
                fates.append(HELD_OUT)
            else:
                hashes.append(hash64(f"{pair[0]}\n{pair[1]}"))
                smallest = min(smallest, side)
                fates.append(DEV if side < reach else TRAIN)
                if side < reach:
                    for_dev.append(side)
        return for_dev, smallest

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
        with written(self.folder / "train", self.keeps_text) as train, written(self.folder / "dev", True) as dev:
            for corpus in self.corpora:
                with_source, pairs = has_source(corpus.files), corpus.fated()
                while block := list(islice(pairs, BLOCK)):
                    parts = [[pair for pair, fate in block if fate == wanted] for wanted in (TRAIN, DEV)]
                    self.encode_part(parts[0], with_source, corpus.counts, train)
                    self.encode_part(parts[1], with_source, for_dev, dev)
                    done += len(block)
                    self.report(f"encoded {counted(done, 'pair')}")
                if not corpus.counts.kept:
                    raise WeftError(f"{corpus.key}: no pair is left to train on: {corpus.counts.summary()}")
            if self.data.dev is not None:
                pairs_for_dev = pairs_in(self.data.dev, self.data.columns, self.tags, "data.dev")
                while block_for_dev := list(islice(pairs_for_dev, BLOCK)):
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
        sides = [tally.encoded([pair[side] for pair in pairs]) for side, tally in enumerate(self.tallies)]
        kept: list[tuple[Pair, list[int], list[int]]] = []
        for pair, source, target in zip(pairs, *sides, strict=True):
            if with_source and not (source and pair[0].strip()):  # or normalisation left nothing
                counts.empty_source += 1
            elif not (target and pair[1].strip()):
                counts.empty_target += 1
            elif max(len(source), len(target)) > counts.max_length:
                counts.too_long += 1
            else:
                kept.append((pair, source, target))
        if kept:
            lines, sources, targets = zip(*kept, strict=True)
            for side, (tally, ids) in enumerate(zip(self.tallies, (sources, targets), strict=True)):
                tally.count([pair[side] for pair in lines], list(ids))
            add(lines, sources, targets)
        counts.kept += len(kept)


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
