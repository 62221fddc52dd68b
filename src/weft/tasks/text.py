"""Tokens to tokens: lines in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

import weft.models.device
from weft.data.batch import pad
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError, nearest
from weft.models import directory
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Recipe, Search
from weft.search.choosers import Beam, Chooser, Greedy
from weft.search.rules import MinLength, Never, NoRepeat, Rule
from weft.search.run import Hypothesis, Limits, search

BLOCK = 4096  # lines that are sorted by length together


@dataclass(frozen=True)
class Prediction:
    """One line's output; `str()` of it is the text."""

    text: str
    score: float  # log-probability / length^penalty
    tokens: list[str]
    token_scores: list[float]
    finish_reason: str  # end, length (cut off at the cap), empty (an empty line in)
    source_tokens: list[str] = field(default_factory=list)
    unknown: int = 0  # source tokens that the vocabulary does not have
    attention: Tensor | None = None  # (T,S) rows: tokens and the end; columns: source_tokens and the end
    alternatives: list[Prediction] = field(default_factory=list)

    def __str__(self) -> str:
        return self.text

    def record(self) -> dict[str, Any]:
        """What `--jsonl` prints."""
        plain: dict[str, Any] = {
            "text": self.text,
            "score": self.score,
            "tokens": self.tokens,
            "token_scores": self.token_scores,
            "finish_reason": self.finish_reason,
        }
        if self.unknown:
            plain["unknown_source_tokens"] = self.unknown
        if self.attention is not None:
            plain["source_tokens"] = self.source_tokens
            plain["attention"] = self.attention.tolist()
        if self.alternatives:
            plain["alternatives"] = [other.record() for other in self.alternatives]
        return plain


class Model:
    """A trained model with its vocabularies: what `weft.load` gives."""

    def __init__(self, recipe: Recipe, network: Seq2Seq, source: Vocabulary, target: Vocabulary) -> None:
        self.recipe = recipe
        self.network = network
        self.source = source
        self.target = target

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def predict(
        self, lines: Iterable[str], n_best: int = 1, attention: bool = False, **search: Any
    ) -> list[Prediction]:
        """One Prediction a line, in order; `search` takes the recipe's search settings, such as beam=5.

        Raises WeftError for a setting that does not exist or cannot be.
        """
        if isinstance(lines, str):
            raise WeftError("predict takes a list of lines; for one line, give a list of one")
        return list(self.stream(lines, n_best, attention, **search))

    def stream(
        self, lines: Iterable[str], n_best: int = 1, attention: bool = False, **search: Any
    ) -> Iterator[Prediction]:
        """The same, block by block as lines come, with memory that does not grow."""
        settings = changed(self.recipe.search, search)
        if n_best < 1:
            raise WeftError(f"n_best is {n_best}; expected 1 or more")
        settings = settings.model_copy(update={"beam": max(settings.beam, n_best)})
        rest = iter(lines)
        while block := list(islice(rest, BLOCK)):
            yield from self.block(block, n_best, attention, settings)

    def block(self, lines: list[str], n_best: int, attention: bool, settings: Search) -> list[Prediction]:
        encoded = self.source.encode_lines(lines)
        predictions = [Prediction("", 0.0, [], [], "empty")] * len(lines)
        training = self.network.training
        self.network.eval()
        for numbers in by_length(encoded, settings.batch_tokens, settings.beam):
            found = self.hypotheses([encoded[number] for number in numbers], n_best, attention, settings)
            for number, hypotheses in zip(numbers, found, strict=True):
                best, *others = (self.prediction(hypothesis, encoded[number]) for hypothesis in hypotheses)
                if others:
                    best = Prediction(**{**vars(best), "alternatives": others})
                predictions[number] = best
        self.network.train(training)
        return predictions

    def hypotheses(
        self, sources: list[list[int]], n_best: int, attention: bool, settings: Search
    ) -> list[list[Hypothesis]]:
        limits = Limits(
            begin=self.target.bos,
            end=self.target.eos,
            max_lengths=[int(settings.max_ratio * len(ids)) + settings.max_extra for ids in sources],
            length_penalty=settings.length_penalty,
            n_best=n_best,
            attention=attention,
        )
        source = pad(sources, last=self.source.eos).to(self.device)
        return search(self.network, source, self.chooser(settings), limits, self.rules(settings))

    def chooser(self, settings: Search) -> Chooser:
        return Greedy() if settings.beam == 1 else Beam(settings.beam)

    def rules(self, settings: Search) -> list[Rule]:
        rules: list[Rule] = [Never([self.target.pad, self.target.unk, self.target.bos, *self.target.line_breaks])]
        if settings.min_length:
            rules.append(MinLength(settings.min_length, self.target.eos))
        if settings.no_repeat_ngram:
            rules.append(NoRepeat(settings.no_repeat_ngram))
        return rules

    def prediction(self, hypothesis: Hypothesis, source: list[int]) -> Prediction:
        return Prediction(
            text=self.target.decode(hypothesis.tokens),
            score=hypothesis.score,
            tokens=self.target.pieces(hypothesis.tokens),
            token_scores=hypothesis.token_scores,
            finish_reason=hypothesis.finish_reason,
            source_tokens=self.source.pieces(source),
            unknown=source.count(self.source.unk),
            attention=None if hypothesis.attention is None else hypothesis.attention[:, : len(source) + 1],
        )


def load(folder: str | Path, device: str = "cpu") -> Model:
    """The model in a directory that `weft train` made; WeftError names a file that is missing or damaged."""
    loaded = directory.load(Path(folder), weft.models.device.device(device))
    return Model(loaded.recipe, loaded.network, loaded.source, loaded.target)


def changed(settings: Search, options: dict[str, Any]) -> Search:
    for name in options:
        if name not in Search.model_fields:
            raise WeftError(f"search has no setting '{name}'{nearest(name, Search.model_fields)}")
    try:
        return Search.model_validate({**settings.model_dump(), **options})
    except ValidationError as error:
        item = error.errors()[0]
        raise WeftError(f"search.{item['loc'][0]} is {item['input']!r}: {item['msg']}") from None


def by_length(encoded: list[list[int]], tokens: int, beam: int) -> Iterator[list[int]]:
    """Numbers of the lines that are not empty, in batches of like length, longest first."""
    order = sorted((n for n, ids in enumerate(encoded) if ids), key=lambda n: (-len(encoded[n]), n))
    start = 0
    while start < len(order):
        width = len(encoded[order[start]]) + 1
        count = max(1, tokens // (width * beam))
        yield order[start : start + count]
        start += count
