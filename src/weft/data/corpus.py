"""Pairs as a model takes them, from files or, where the same was made before, from the cache."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from weft.data import direction
from weft.data.batch import Padded, Pixels, pad, pad_factored
from weft.data.cache import apart, cache_folder, fingerprint, key, remove_abandoned, spool, states
from weft.data.counts import Counts
from weft.data.gaps import GapCheck
from weft.data.mix import Mix
from weft.data.preparation import COUNTS, SOURCE, TARGET, Preparation, Report
from weft.data.store import Ids, Store
from weft.data.tokenizer import load_source
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.files import new_folder
from weft.recipe import Recipe


class Corpus:
    """Encoded pairs by number. Ids are without `bos` and `eos`.

    With the tokens of both directions, all pairs are followed by all pairs in reverse, and each source begins with
    the token of its direction. Of images, each is as long as the `positions` that a model makes of it. `factored` is
    the source's vocabulary where its words have features beside them.
    """

    def __init__(
        self,
        store: Store,
        tokens: tuple[int, int] | None = None,
        positions: int = 0,
        factored: Vocabulary | None = None,
    ) -> None:
        self.store = store
        self.positions = positions
        self.factored = factored
        self.has_text = store.has_text
        self.forward = len(store)  # pairs from source to target, which come first
        self.marks = [] if tokens is None else [np.array([token], np.int32) for token in tokens]
        source, target = store.lengths
        if store.shape:
            source = np.full(len(store), positions, np.int32)
        if tokens is None:
            self.source_lengths, self.target_lengths = source, target
        else:
            self.source_lengths = np.concatenate([source, target]) + np.int32(1)
            self.target_lengths = np.concatenate([target, source])

    def __len__(self) -> int:
        return len(self.source_lengths)

    def source(self, i: int) -> Ids:
        """(S,) source ids of pair i."""
        return self.marked(i, self.unmarked_source(i))

    def images(self, rows: Sequence[int]) -> Pixels:
        """The images that are the sources of these pairs, side by side."""
        images = torch.from_numpy(np.stack([self.store.image(row) for row in rows]))
        return Pixels(images, torch.full((len(rows),), self.positions))

    def padded(self, rows: Sequence[int], sources: Sequence[Ids]) -> Padded:
        """Sources of these pairs, in whatever pieces, side by side, with the features of their words."""
        if self.factored is None:
            return pad(sources, last=Vocabulary.eos)
        assert self.factored.factors
        count = len(self.factored.factors.sizes)
        features = [self.store.factors(row).reshape(-1, count) for row in rows]
        return pad_factored(sources, features, self.factored.starts, Vocabulary.eos)

    def shown_source(self, i: int, vocabulary: Vocabulary) -> list[str]:
        """The pieces of the source of pair i, or the name of its image."""
        return [self.source_text(i)] if self.store.shape else vocabulary.pieces(self.source(i).tolist())

    def marked(self, i: int, ids: Ids) -> Ids:
        """What is to stand in the place of the source of pair i, with the token of its direction before it."""
        return np.concatenate([self.marks[i // self.forward], ids]) if self.marks else ids

    def unmarked_source(self, i: int) -> Ids:
        """The same without the token of its direction."""
        reverse, row = self.place(i)
        return self.store.ids(reverse, row)

    def target(self, i: int) -> Ids:
        """(T,) target ids of pair i."""
        reverse, row = self.place(i)
        return self.store.ids(1 - reverse, row)

    def source_text(self, i: int) -> str:
        """The source line of pair i; only where `has_text`."""
        reverse, row = self.place(i)
        return self.store.text(reverse, row)

    def target_text(self, i: int) -> str:
        """The target line of pair i; only where `has_text`."""
        reverse, row = self.place(i)
        return self.store.text(1 - reverse, row)

    def place(self, i: int) -> tuple[int, int]:
        """Whether the pair is in reverse, and its number in the store."""
        if not 0 <= i < len(self):
            raise IndexError(f"pair {i} of {len(self)}")
        return divmod(i, self.forward)


@dataclass(frozen=True)
class Prepared:
    train: Corpus
    dev: Corpus  # with text
    source: Vocabulary
    target: Vocabulary  # the same object as `source` where the recipe shares them
    counts: Counts
    fingerprint: str  # of the files' contents and of the settings that shaped them
    mix: Mix  # of the corpora that `train` is made of


def silent(line: str) -> None:
    pass


def prepare(
    recipe: Recipe,
    vocabularies: tuple[Vocabulary, Vocabulary] | None = None,
    report: Report = silent,
    source: Vocabulary | None = None,
    target: Vocabulary | None = None,
) -> Prepared:
    """The recipe's data, encoded; made now, or found in the cache where the same was made before.

    Without `vocabularies` (source, target) they are learnt, from the training part alone, but for a `source`, such as
    the tokenizer of a pretrained encoder, or a `target` that is given. `report` is told what goes on. Raises WeftError
    for files that cannot be read, for data of which nothing is left to train on or to hold out, and for a cache that
    cannot be written. What a killed process leaves behind is never taken for a result.
    """
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        remove_abandoned(cache)
        recipe, copies = spool(direction.turned(recipe))
        check(recipe, vocabularies[0] if vocabularies else source)
        with copies.naming():
            before = states(recipe)
            print_of_data = fingerprint(recipe, vocabularies, source, target)
            folder = cache / key(print_of_data + apart(recipe))
            if folder.is_dir():
                try:
                    return open_prepared(folder, recipe, print_of_data)
                except WeftError as error:
                    report(f"the cached data cannot be used and is made anew: {error}")
                    shutil.rmtree(folder)
            with new_folder(folder) as unfinished:
                Preparation(recipe, unfinished, report).run(vocabularies, source, target)
                after = states(recipe)
                if before != after and fingerprint(recipe, vocabularies, source, target) != print_of_data:
                    changed = ", ".join(name for name in before if before[name] != after.get(name))
                    raise WeftError(f"{changed}: changed while it was read")
            return open_prepared(folder, recipe, print_of_data)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeftError(f"{cache}: the disk is full; free some space, or set WEFT_CACHE to another disk") from None
        raise WeftError(f"{error.filename or cache}: cannot be written: {error.strerror or error}") from None


def check(recipe: Recipe, source: Vocabulary | None) -> None:
    """WeftError where vocabularies cannot do what the recipe wants of them; `source` is that which is not learnt."""
    if recipe.data.direction == "both" and source is not None:
        direction.tokens(source)
    if recipe.data.gaps and source is not None:
        GapCheck(recipe.data.gaps, source)
    kind, sampling = recipe.vocabulary.source.kind, recipe.vocabulary.target.sampling
    if recipe.vocabulary.shared and sampling and kind not in ("bpe", "unigram"):
        raise WeftError(
            f"vocabulary.target.sampling is {sampling:g}, but vocabulary.shared has one vocabulary for both sides, "
            f"and vocabulary.source.kind is '{kind}', of which a line is always the same pieces"
        )


def open_prepared(folder: Path, recipe: Recipe, data: str) -> Prepared:
    try:
        counts = Counts.of_record(json.loads((folder / COUNTS).read_text("utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeftError(f"{folder / COUNTS}: damaged: {error}") from None
    source = load_source(folder / SOURCE, recipe)
    target = source if recipe.vocabulary.shared else Vocabulary.load(folder / TARGET)
    tokens = direction.tokens(source) if recipe.data.direction == "both" else None
    positions = recipe.model.input.positions if recipe.model.input.kind == "image" else 0
    factored = source if source.factors else None
    train, dev = (Corpus(Store.open(folder / part), tokens, positions, factored) for part in ("train", "dev"))
    weights = [1.0, *(mixed.weight for mixed in recipe.data.also)]
    mix = Mix([part.kept for part in counts.parts], weights, ways=1 if tokens is None else 2)
    return Prepared(train, dev, source, target, counts, data, mix)
