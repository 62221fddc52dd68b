"""Padded tensors with their lengths, and the seeded order in which a corpus is cut into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weft.data.factors import END
from weft.data.mix import Mix

Rows = NDArray[np.int64]
Lengths = NDArray[np.int32]
Put = Callable[[Tensor], Tensor]

WINDOW = 1 << 20  # pairs that are batched together
SAMPLE = 1 << 16  # of them, that tell how large batches become
RUN = 512  # pairs that stay together where there are more than a window has


@dataclass(frozen=True)
class Padded:
    """Sequences of different lengths in one tensor; what lies beyond a length means nothing."""

    data: Tensor  # (B,T) ids | (B,T,F) values
    lengths: Tensor  # (B,)

    @property
    def positions(self) -> int:
        """T, padding included."""
        return self.data.size(1)

    def mask(self) -> Tensor:
        """(B,T) True = a real position."""
        positions = torch.arange(self.positions, device=self.data.device)
        return positions < self.lengths[:, None]

    def to(self, device: torch.device) -> Padded:
        return self.mapped(lambda tensor: tensor.to(device))

    def mapped(self, put: Put) -> Padded:
        """The same with each tensor put elsewhere."""
        return replace(self, data=put(self.data), lengths=put(self.lengths))

    def part(self, rows: Tensor) -> Padded:
        """These rows, padded no further than they need."""
        lengths = self.lengths[rows]
        return Padded(self.data[rows, : int(lengths.max())], lengths)

    def __len__(self) -> int:
        return self.data.size(0)


@dataclass(frozen=True)
class Pixels(Padded):
    """Images of one size, data (B,C,H,W) bytes; a length is that of the grid that an input end makes of an image."""

    before: Tensor | None = None  # (B,C,H,W) what they were before there was noise on them; None: the same

    @property
    def clean(self) -> Tensor:
        return self.data if self.before is None else self.before

    @property
    def positions(self) -> int:
        return int(self.lengths.max())

    def mapped(self, put: Put) -> Pixels:
        return Pixels(put(self.data), put(self.lengths), None if self.before is None else put(self.before))

    def part(self, rows: Tensor) -> Pixels:
        return Pixels(self.data[rows], self.lengths[rows], None if self.before is None else self.before[rows])


@dataclass(frozen=True)
class Factored(Padded):
    """Pieces with the features of their words."""

    factors: Tensor  # (B,S,F) ids

    def mapped(self, put: Put) -> Factored:
        return Factored(put(self.data), put(self.lengths), put(self.factors))

    def part(self, rows: Tensor) -> Factored:
        lengths = self.lengths[rows]
        longest = int(lengths.max())
        return Factored(self.data[rows, :longest], lengths, self.factors[rows, :longest])


def pad(
    sequences: Sequence[Sequence[int] | NDArray[np.int32]], first: int | None = None, last: int | None = None
) -> Padded:
    """Ids side by side, (B,T), optionally with one id put before and one after each sequence."""
    before, after = int(first is not None), int(last is not None)
    lengths = np.fromiter((len(ids) + before + after for ids in sequences), np.int64, len(sequences))
    data = np.zeros((len(sequences), int(lengths.max(initial=before + after))), np.int64)
    if first is not None:
        data[:, 0] = first
    for row, ids in enumerate(sequences):
        data[row, before : before + len(ids)] = ids
    if last is not None:
        data[np.arange(len(sequences)), lengths - 1] = last
    return Padded(torch.from_numpy(data), torch.from_numpy(lengths))


def pad_factored(
    sources: Sequence[Sequence[int] | NDArray[np.int32]],
    features: Sequence[NDArray[np.int32]],
    starts: NDArray[np.bool_],
    last: int,
) -> Factored:
    """Pieces as `pad` puts them, with the features (W,F) of their W words; the id `last` has a feature of its own.

    `starts` tells which pieces begin a word.
    """
    padded = pad(sources, last=last)
    factors = np.zeros((*padded.data.shape, features[0].shape[1]), np.int64)
    for row, (ids, of_words) in enumerate(zip(sources, features, strict=True)):
        if len(ids):
            begins = starts[np.asarray(ids)]
            begins[0] = True
            words = np.minimum(begins.cumsum() - 1, len(of_words) - 1)  # U+2581 in a word begins one more
            factors[row, : len(ids)] = of_words[words]
        factors[row, len(ids)] = END
    return Factored(padded.data, padded.lengths, torch.from_numpy(factors))


@dataclass(frozen=True)
class Batch:
    """Sources (of tokens, with their end), and targets as the decoder sees them (`fed`) and should answer (`gold`).

    Of a series, all three hold values; `data/windows.py` says which.
    """

    source: Padded  # (B,S) source ids </s> | (B,C,H,W) pixels
    fed: Padded  # (B,T) <s> target ids
    gold: Padded  # (B,T) target ids </s>
    rows: Rows  # (B,) places in the corpus

    @property
    def count(self) -> int:
        """What the loss is summed over: target tokens with their ends, or the values that are not missing."""
        gold = self.gold
        return int(gold.lengths.sum() if gold.data.dim() == 2 else (~gold.data.isnan()).sum())

    def to(self, device: torch.device) -> Batch:
        """On a device, where the copy of what is pinned is not waited for."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """In memory that a CUDA device copies from while the program goes on."""
        return self.mapped(Tensor.pin_memory)

    def mapped(self, put: Put) -> Batch:
        return Batch(self.source.mapped(put), self.fed.mapped(put), self.gold.mapped(put), self.rows)

    def parts(self, count: int) -> list[Batch]:
        """The same pairs in at most `count` micro-batches, each padded no further than it needs."""
        if count == 1 and len(self.rows):
            return [self]
        return [self.part(rows) for rows in np.array_split(np.arange(len(self.rows)), count) if len(rows)]

    def part(self, rows: Rows) -> Batch:
        index = torch.from_numpy(rows)
        return Batch(self.source.part(index), self.fed.part(index), self.gold.part(index), self.rows[rows])


class Order:
    """Batches of at most `tokens` padded positions of the longer side: seeded, other in each epoch.

    Pairs of like lengths go together, so little is padding; where a batch starts, which of the pairs of equal
    lengths it takes, and the order of batches are drawn anew for each epoch from the seed and the epoch alone,
    so that any point of any epoch can be found again. An epoch has every pair once, or what `mix` gives it: a pair
    that is there again has the number of all pairs added to its own for each time.

    More than WINDOW pairs are drawn in runs of RUN that lie together, windows of some WINDOW pairs are filled with
    them, and each window is batched by itself: memory and the time to a first batch stay those of one window, and
    what is read from disk lies together.
    """

    def __init__(
        self, source_lengths: Lengths, target_lengths: Lengths, tokens: int, seed: int, mix: Mix | None = None
    ) -> None:
        self.source_lengths = source_lengths
        self.target_lengths = target_lengths
        self.tokens = tokens
        self.seed = seed
        self.mix = mix or Mix([len(source_lengths)], [1.0])

    def epoch(self, number: int) -> list[Rows]:
        """The batches of one epoch, each as its rows of the corpus."""
        return list(self.rest(number, 0))

    def rest(self, number: int, position: int) -> Iterator[Rows]:
        """The batches of one epoch from a position on, made window by window as they are asked for."""
        for window, rows in self.windows(number):
            batches = self.batches((number, window), rows)
            yield from batches[position:]
            position = max(0, position - len(batches))

    def windows(self, number: int) -> Iterator[tuple[int, Rows]]:
        """The draws of one epoch in windows, numbered."""
        longest = 1 if len(self.source_lengths) <= WINDOW else RUN
        runs = self.mix.epoch(number, self.seed, longest)
        order = np.random.default_rng((self.seed, number)).permutation(len(runs.starts))
        for window, part in enumerate(runs.windows(order, WINDOW)):
            yield window, part.rows()

    def batches(self, key: tuple[int, int], rows: Rows) -> list[Rows]:
        """These rows in batches, in an order that is drawn from the seed and this key.

        They lie on a way through the plane of lengths that goes from one length of the longer side to the next, and
        along each from the shortest other side to the longest, or back: the budget is filled, both sides are alike.
        """
        random = np.random.default_rng((self.seed, *key))
        draw = random.permutation(rows)
        there = draw % len(self.source_lengths)
        source, target = (side[there].astype(np.int64) for side in (self.source_lengths, self.target_lengths))
        longer, more = np.maximum(source, target), source - target
        way = longer * longer + longer + np.where(longer % 2, more, -more)
        sorted_by_way = np.argsort(way, kind="stable")
        batches = list(self.cut(draw[sorted_by_way], longer[sorted_by_way] + 1, random.uniform(0.3, 1.0)))
        return [batches[i] for i in random.permutation(len(batches))]

    def cut(self, rows: Rows, sizes: Rows, first_part: float) -> Iterator[Rows]:
        """Runs of `rows`, of rising sizes, that fit the budget, the first only `first_part` as large as it could be."""
        start, budget = 0, int(self.tokens * first_part)
        while start < len(rows):
            reach = sizes[start : start + max(1, budget // int(sizes[start]))]
            count = max(1, int(np.count_nonzero(reach * np.arange(1, len(reach) + 1) <= budget)))
            yield rows[start : start + count]
            start, budget = start + count, self.tokens

    def largest(self) -> list[Rows]:
        """Of batches of all pairs those that need the most memory: by positions, and by positions of attention.

        Of more than WINDOW pairs, of batches of a sample and of the longest.
        """
        rows = np.arange(len(self.source_lengths))
        if len(rows) > WINDOW:
            rows = np.concatenate([next(self.windows(0))[1][:SAMPLE] % len(rows), self.longest()])
        batches = self.batches((0, 0), rows)
        counts = np.array([len(rows) for rows in batches])
        source = np.array([self.source_lengths[rows].max() + 1 for rows in batches], np.int64)
        target = np.array([self.target_lengths[rows].max() + 1 for rows in batches], np.int64)
        needs = (counts * (source + target), counts * np.maximum(source, target) ** 2)
        return [batches[place] for place in {int(need.argmax()) for need in needs}]

    def longest(self) -> Rows:
        """As many of the longest pairs as a batch may have."""
        found = np.zeros(0, np.int64)
        for start in range(0, len(self.source_lengths), WINDOW):
            found = np.concatenate([found, np.arange(start, min(start + WINDOW, len(self.source_lengths)))])
            longer = np.maximum(self.source_lengths[found], self.target_lengths[found])
            if len(found) > self.tokens:
                found = found[np.argpartition(longer, -self.tokens)[-self.tokens :]]
        return found
