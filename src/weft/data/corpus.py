"""A memory-mapped store of encoded examples (Arrow IPC), built once from files and cached by content.

<cache>/<key>/  train/examples.arrow  dev/examples.arrow  source.model  target.model  counts.json
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weft.data.cache import cache_folder, fingerprint, key, remove_abandoned, spool
from weft.data.counts import Counts
from weft.data.read import Pair, read_pairs
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError, counted
from weft.files import new_folder, write_text
from weft.recipe import Recipe

BLOCK = 20_000  # pairs that are encoded and written together
EXAMPLES = "examples.arrow"
COUNTS = "counts.json"
SOURCE = "source.model"
TARGET = "target.model"
EXAMPLES_SHOWN = 3
TRAIN, DEV, EMPTY_SOURCE, EMPTY_TARGET, DROPPED = range(5)

Ids = NDArray[np.int32]
Fates = NDArray[np.uint8]
Report = Callable[[str], None]
Add = Callable[[Sequence[Pair], Sequence[list[int]], Sequence[list[int]]], None]


class Corpus:
    """Encoded pairs by number, read from disk where they are asked for. Ids are without `bos` and `eos`."""

    def __init__(self, batches: list[pa.RecordBatch], has_text: bool) -> None:
        self.has_text = has_text
        self._batches = batches
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)]).tolist()
        self._source = [flat(batch.column("source")) for batch in batches]
        self._target = [flat(batch.column("target")) for batch in batches]
        self.source_lengths = lengths(self._source)
        self.target_lengths = lengths(self._target)

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """What `written` left in a folder; WeftError where it is missing or damaged."""
        path = folder / EXAMPLES
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            return cls(batches, "source_text" in reader.schema.names)
        except FileNotFoundError:
            raise WeftError(f"{path}: no such corpus") from None
        except (pa.ArrowException, OSError, KeyError) as error:
            raise WeftError(f"{path}: damaged: {error}") from None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def source(self, i: int) -> Ids:
        """(S,) source ids of pair i, a view of the file."""
        return self._ids(self._source, i)

    def target(self, i: int) -> Ids:
        """(T,) target ids of pair i, a view of the file."""
        return self._ids(self._target, i)

    def source_text(self, i: int) -> str:
        """The source line of pair i; only where `has_text`."""
        return self._text("source_text", i)

    def target_text(self, i: int) -> str:
        """The target line of pair i; only where `has_text`."""
        return self._text("target_text", i)

    def _ids(self, side: list[tuple[Ids, Ids]], i: int) -> Ids:
        batch, row = self._place(i)
        values, offsets = side[batch]
        return values[offsets[row] : offsets[row + 1]]

    def _text(self, column: str, i: int) -> str:
        batch, row = self._place(i)
        return str(self._batches[batch].column(column)[row].as_py())

    def _place(self, i: int) -> tuple[int, int]:
        if not 0 <= i < len(self):
            raise IndexError(f"pair {i} of {len(self)}")
        batch = bisect_right(self._starts, i) - 1
        return batch, i - self._starts[batch]


def flat(column: pa.ListArray) -> tuple[Ids, Ids]:
    """All values one after another, and where each row begins (with one end more)."""
    return column.values.to_numpy(), column.offsets.to_numpy()


def lengths(side: list[tuple[Ids, Ids]]) -> Ids:
    return np.concatenate([np.zeros(0, np.int32), *(np.diff(offsets) for _, offsets in side)])


@dataclass(frozen=True)
class Prepared:
    train: Corpus
    dev: Corpus  # with text
    source: Vocabulary
    target: Vocabulary  # the same object as `source` where the recipe shares them
    counts: Counts
    fingerprint: str  # of the files' contents and of the settings that shaped them


def silent(line: str) -> None:
    pass


def prepare(
    recipe: Recipe, vocabularies: tuple[Vocabulary, Vocabulary] | None = None, report: Report = silent
) -> Prepared:
    """The recipe's data, encoded; made now, or found in the cache where the same was made before.

    Without `vocabularies` (source, target) they are learnt, from the training part alone. `report` is told what
    goes on. Raises WeftError for files that cannot be read, for data of which nothing is left to train on or to hold
    out, and for a cache that cannot be written. What a killed process leaves behind is never taken for a result.
    """
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        remove_abandoned(cache)
        recipe = spool(recipe)
        print_of_data = fingerprint(recipe, vocabularies)
        folder = cache / key(print_of_data)
        if folder.is_dir():
            try:
                return open_prepared(folder, recipe, print_of_data)
            except WeftError as error:
                report(f"the cached data cannot be used and is made anew: {error}")
                shutil.rmtree(folder)
        with new_folder(folder) as unfinished:
            Preparation(recipe, unfinished, report).run(vocabularies)
        return open_prepared(folder, recipe, print_of_data)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeftError(f"{cache}: the disk is full; free some space, or set WEFT_CACHE to another disk") from None
        raise WeftError(f"{error.filename or cache}: cannot be written: {error.strerror or error}") from None


def open_prepared(folder: Path, recipe: Recipe, data: str) -> Prepared:
    try:
        counts = Counts(**json.loads((folder / COUNTS).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeftError(f"{folder / COUNTS}: damaged: {error}") from None
    source = Vocabulary.load(folder / SOURCE)
    target = source if recipe.vocabulary.shared else Vocabulary.load(folder / TARGET)
    return Prepared(Corpus.open(folder / "train"), Corpus.open(folder / "dev"), source, target, counts, data)


class Preparation:
    """Fills one folder with what `open_prepared` opens. The files are read once for each step."""

    def __init__(self, recipe: Recipe, folder: Path, report: Report) -> None:
        self.data = recipe.data
        self.settings = recipe.vocabulary
        self.threads = recipe.training.threads or os.cpu_count() or 1
        self.folder = folder
        self.report = report
        self.counts = Counts(max_length=recipe.data.max_length, duplicates_dropped=recipe.data.duplicates == "drop")
        self.fates = bytearray()  # of each pair of data.train, TRAIN ... DROPPED

    def run(self, vocabularies: tuple[Vocabulary, Vocabulary] | None) -> None:
        begun = time.monotonic()
        self.report("reading the data")
        self.survey()
        if vocabularies is None:
            source, target = self.learn()
            self.counts.source_asked = self.settings.source.size
            self.counts.target_asked = (self.settings.source if self.settings.shared else self.settings.target).size
        else:
            source, target = vocabularies
            source.save(self.folder / SOURCE)
            target.save(self.folder / TARGET)
        self.counts.source_size, self.counts.target_size = source.size, target.size
        self.encode(source, target)
        self.counts.seconds = time.monotonic() - begun
        write_text(self.folder / COUNTS, json.dumps(asdict(self.counts), ensure_ascii=False, indent=2))

    def survey(self) -> None:
        """Decide what becomes of each pair; a few bytes of memory a pair."""
        counts, fates = self.counts, self.fates
        hashes = array("Q")
        split = self.data.dev is None
        reach = int(self.data.dev_fraction * 2**64) if split else 0
        smallest, places = 2**64, array("Q")  # of the sources, and the pairs that have it
        for place, (source, target) in enumerate(read_pairs(self.data.train, self.data.columns)):
            if not source.strip():
                fates.append(EMPTY_SOURCE)
                continue
            if not target.strip():
                fates.append(EMPTY_TARGET)
                continue
            side = hash64(source)
            fates.append(DEV if side < reach else TRAIN)
            hashes.append(hash64(f"{source}\n{target}"))
            if side < smallest:
                smallest, places = side, array("Q")
            if side == smallest:
                places.append(place)
        counts.read = len(fates)
        counts.empty_source, counts.empty_target = fates.count(EMPTY_SOURCE), fates.count(EMPTY_TARGET)
        if not hashes:
            raise WeftError(f"data.train: no usable pair: {counts.summary()}")
        fate = np.frombuffer(fates, np.uint8)
        usable = np.flatnonzero(fate <= DEV)
        if split and not 0 < int(fate[usable].sum()) < len(usable):
            if len(places) == len(usable):
                why = "one usable pair" if len(usable) == 1 else "usable pairs of one and the same source"
                raise WeftError(f"data.train: only {why}, so nothing is left to hold out: {counts.summary()}")
            fate[usable] = TRAIN
            fate[np.frombuffer(places, np.uint64)] = DEV
        self.find_duplicates(fate, usable, np.frombuffer(hashes, np.uint64))

    def find_duplicates(self, fate: Fates, usable: NDArray[np.int64], hashes: NDArray[np.uint64]) -> None:
        in_train = fate[usable] == TRAIN
        repeated = np.ones(int(in_train.sum()), np.bool_)
        repeated[np.unique(hashes[in_train], return_index=True)[1]] = False
        self.counts.duplicates = int(repeated.sum())
        if self.counts.duplicates_dropped:
            fate[usable[in_train][repeated]] = DROPPED

    def pairs(self) -> Iterator[tuple[Pair, int]]:
        """The pairs of data.train again, each with its fate."""
        try:
            yield from zip(read_pairs(self.data.train, self.data.columns), self.fates, strict=True)
        except ValueError:
            raise WeftError("data.train: a file changed while it was read") from None

    def dev_pairs(self) -> Iterator[tuple[Pair, int]]:
        if self.data.dev is not None:
            for source, target in read_pairs(self.data.dev, self.data.columns):
                if source.strip() and target.strip():
                    yield (source, target), DEV
                else:
                    self.counts.dev_empty += 1

    def learn(self) -> tuple[Vocabulary, Vocabulary]:
        def lines(*sides: Literal[0, 1]) -> Iterator[str]:
            return (pair[side] for pair, fate in self.pairs() if fate == TRAIN for side in sides)

        settings, normalization = self.settings, self.settings.normalization
        self.report("learning the vocabulary")
        if settings.shared:
            both = Vocabulary.learn(lines(0, 1), settings.source, normalization, self.folder / SOURCE)
            return both, both
        return (
            Vocabulary.learn(lines(0), settings.source, normalization, self.folder / SOURCE),
            Vocabulary.learn(lines(1), settings.target, normalization, self.folder / TARGET),
        )

    def encode(self, source: Vocabulary, target: Vocabulary) -> None:
        counts, tallies = self.counts, (Tally(source, self.threads), Tally(target, self.threads))
        with written(self.folder / "train", False) as train, written(self.folder / "dev", True) as dev:
            all_pairs = chain(self.pairs(), self.dev_pairs())
            done = 0
            while block := list(islice(all_pairs, BLOCK)):
                counts.kept += self.encode_part([pair for pair, fate in block if fate == TRAIN], False, tallies, train)
                counts.dev += self.encode_part([pair for pair, fate in block if fate == DEV], True, tallies, dev)
                done += len(block)
                self.report(f"encoded {counted(done, 'pair')}")
        if not counts.kept:
            raise WeftError(f"data.train: no pair is left to train on: {counts.summary()}")
        if not counts.dev:
            raise WeftError(f"no pair is left for development: {counts.summary()}")
        counts.unknown_source, counts.unknown_target = (tally.unknown / max(1, tally.pieces) for tally in tallies)
        counts.round_trip_failures = sum(tally.failures for tally in tallies)
        counts.round_trip_examples = [line for tally in tallies for line in tally.examples][:EXAMPLES_SHOWN]

    def encode_part(self, pairs: list[Pair], is_dev: bool, tallies: tuple[Tally, Tally], add: Add) -> int:
        """Encode, count and write pairs of one fate; gives how many are kept."""
        counts = self.counts
        sides = [tally.encoded([pair[side] for pair in pairs]) for side, tally in enumerate(tallies)]
        kept: list[tuple[Pair, list[int], list[int]]] = []
        for pair, source, target in zip(pairs, *sides, strict=True):
            if max(len(source), len(target)) > counts.max_length:
                counts.dev_too_long += is_dev
                counts.too_long += not is_dev
            elif not source or not target:  # normalisation left nothing
                counts.dev_empty += is_dev
                counts.empty_source += not is_dev and not source
                counts.empty_target += not is_dev and bool(source)
            else:
                kept.append((pair, source, target))
        if kept:
            lines, sources, targets = zip(*kept, strict=True)
            for side, (tally, ids) in enumerate(zip(tallies, (sources, targets), strict=True)):
                tally.count([pair[side] for pair in lines], list(ids))
            add(lines, sources, targets)
        return len(kept)


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
        back = self.vocabulary.decode_lines(encoded, self.threads)
        wrong = [line for line, other in zip(lines, back, strict=True) if line != other]
        self.failures += len(wrong)
        self.examples = [*self.examples, *wrong][:EXAMPLES_SHOWN]


@contextmanager
def written(folder: Path, has_text: bool) -> Iterator[Add]:
    """Make a corpus of batches of pairs, each with source ids and target ids, in a new folder."""
    folder.mkdir()
    fields = [("source", pa.list_(pa.int32())), ("target", pa.list_(pa.int32()))]
    if has_text:
        fields += [("source_text", pa.large_string()), ("target_text", pa.large_string())]
    schema = pa.schema(fields)

    def add(pairs: Sequence[Pair], sources: Sequence[list[int]], targets: Sequence[list[int]]) -> None:
        columns = [ragged(sources), ragged(targets)]
        if has_text:
            columns += [pa.array([pair[side] for pair in pairs], pa.large_string()) for side in (0, 1)]
        writer.write_batch(pa.record_batch(columns, schema=schema))

    with pa.OSFile(str(folder / EXAMPLES), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        yield add


def ragged(rows: Sequence[list[int]]) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    values = np.fromiter(chain.from_iterable(rows), np.int32, int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
