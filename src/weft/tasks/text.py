"""Tokens or images to tokens: lines in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import weft.models.device
from weft.data.batch import Padded, pad
from weft.data.direction import Direction, turned
from weft.data.shortlist import Shortlist
from weft.data.tagged import count
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.metrics.score import language
from weft.models import directory, quantized
from weft.models.base import StepModel
from weft.models.labels import FIRST, told
from weft.models.mode import answering
from weft.models.packed import Packed
from weft.models.product import Weights
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Recipe, Search
from weft.search.ensemble import Ensemble, Fused, Sources
from weft.search.hypothesis import Hypothesis
from weft.search.run import search
from weft.search.score import score
from weft.tasks import labels, narrowed
from weft.tasks.line import Encoded, Line, Writer, checked, lines_of
from weft.tasks.members import check_member, check_target, pieces_of
from weft.tasks.prediction import Prediction
from weft.tasks.risk import by_utility
from weft.tasks.scored import Scored
from weft.tasks.source import source_of
from weft.tasks.strategy import Strategy, changed

__all__ = ["Model", "Prediction", "Scored", "load"]

UNSPACED = {"zh", "ja", "th", "lo", "km", "my"}  # languages that put no space between words


class Model:
    """A trained model with its vocabularies, or several that answer as one: what `weft.load` gives."""

    def __init__(
        self,
        recipe: Recipe,
        network: Seq2Seq,
        source: Vocabulary,
        target: Vocabulary,
        others: Sequence[Model] = (),
        weights: Weights = "float32",
        packed: Packed | None = None,
        shortlist: Shortlist | None = None,
    ) -> None:
        """`others` are the further members of an ensemble, whose settings and device are those of the first.

        `weights` is what those of the network are, and those of a language model beside it will be. `packed` is the
        network made ready for search, which is the network itself where it may go on to learn. With a `shortlist`
        outputs hold what goes with their sources alone.
        """
        self.recipe = recipe
        self.network = network
        self.source = source
        self.target = target
        self.reads = source_of(recipe, source)
        self.members = [self, *others]
        self.weights: Weights = weights
        self.packed = packed
        self.shortlist = shortlist
        self.language_models: dict[str, Model] = {}

    @classmethod
    def ensemble(cls, models: Sequence[Model]) -> Model:
        """Models of any architecture whose probabilities are averaged; the first one's search settings hold.

        Sources may be cut in other pieces by each. Raises WeftError where target vocabularies differ.
        """
        if not models:
            raise WeftError("an ensemble needs at least one model")
        first, *others = models
        for number, other in enumerate(others, 2):
            check_member(first, other, f"model {number} of the ensemble")
        return cls(
            first.recipe,
            first.network,
            first.source,
            first.target,
            others,
            first.weights,
            first.packed,
            first.shortlist,
        )

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def has_source(self) -> bool:
        """A language model has none, and goes on with its lines."""
        return self.recipe.model.encoder.kind != "none"

    def predict(
        self,
        lines: Iterable[str],
        n_best: int = 1,
        attention: bool = False,
        prefix: Iterable[str] | None = None,
        must: Iterable[Sequence[str]] | None = None,
        never: Iterable[Sequence[str]] | None = None,
        direction: Direction = "forward",
        **search: Any,
    ) -> list[Prediction]:
        """One Prediction a line, in order; `search` takes the recipe's search settings, such as beam=5.

        For each line, `prefix` is what its output begins with, `must` phrases that it holds, `never` phrases that it
        does not hold. Raises WeftError for a setting that does not exist or cannot be, and for what cannot be said.
        """
        if isinstance(lines, str):
            raise WeftError("predict takes a list of lines; for one line, give a list of one")
        return list(self.stream(lines, n_best, attention, prefix, must, never, direction, **search))

    def stream(
        self,
        lines: Iterable[str],
        n_best: int = 1,
        attention: bool = False,
        prefix: Iterable[str] | None = None,
        must: Iterable[Sequence[str]] | None = None,
        never: Iterable[Sequence[str]] | None = None,
        direction: Direction = "forward",
        **search: Any,
    ) -> Iterator[Prediction]:
        """The same, block by block as lines come, with memory that does not grow."""
        strategy = self.strategy(n_best, search)
        rest = lines_of(lines, prefix, must, never)
        while block := list(islice(rest, self.reads.block)):
            yield from self.answers(block, strategy, n_best, attention, direction)

    def strategy(self, n_best: int, search: dict[str, Any]) -> Strategy:
        of_labels = self.recipe.tags == "labels"
        settings = changed(self.recipe.search, search, of_labels)
        if self.shortlist and settings.language_model is not None:
            raise WeftError(
                "search.language_model says words of all the vocabulary; it has no place beside a shortlist"
            )
        return Strategy(settings, n_best, self.target, of_labels, self.longest(settings))

    def longest(self, settings: Search) -> int | None:
        """Tokens of an output that all who say it have positions for."""
        models = list(self.members)
        if settings.language_model is not None:
            models.append(self.language_model(settings.language_model))
        found = (model.recipe.model.longest_output for model in models)
        return min((longest for longest in found if longest is not None), default=None)

    def answers(
        self, lines: list[Line], strategy: Strategy, n_best: int, attention: bool, direction: Direction
    ) -> list[Prediction]:
        """One Prediction a line, in order, of lines that are sorted by length together."""
        lines_in = self.measured(self.encoded(lines, direction), strategy.settings)
        predictions = self.block(lines_in, n_best, attention, strategy)
        if self.recipe.data.gaps is None:
            return predictions
        return [prediction.in_line(line.text) for line, prediction in zip(lines, predictions, strict=True)]

    def encoded(self, lines: list[Line], direction: Direction) -> list[Encoded]:
        """Lines in ids; a language model's lines are what its outputs begin with."""
        if self.recipe.model.decoder.kind == "pixels":
            raise WeftError("an autoencoder says nothing: weft look --reconstruct, or weft predict --vector")
        if not self.has_source:
            if any(line.prefix for line in lines):
                raise WeftError("a language model goes on with its lines, which are prefixes already")
            lines = [replace(line, text="", prefix=line.text) for line in lines]
        if self.recipe.tags == "labels" and any(line.prefix for line in lines):
            raise WeftError("prefix has no part in labels, which have no first one; what they must hold is must")
        sources = [member.reads.encoded(lines, direction) for member in self.members]
        said_in = self.recipe.source_language if direction == "backward" else self.recipe.target_language
        spaced = self.recipe.vocabulary.target.kind == "word" or language(said_in) not in UNSPACED
        writer = Writer(self.target, spaced)
        return [writer.encoded(line, of_line) for line, of_line in zip(lines, zip(*sources, strict=True), strict=True)]

    def measured(self, lines: list[Encoded], settings: Search) -> list[Encoded]:
        """Lines that know how many tokens their outputs have, where tags or `search.output_length` tell that."""
        of = self.recipe.tags
        if of == "labels":
            return [replace(line, tokens=self.target.size - FIRST) for line in lines]
        if of:
            return [
                replace(line, tokens=1 if of == "line" else count(self.source.words(line.sources[0]), of))
                for line in lines
            ]
        if settings.output_length == "free":
            return lines
        if not self.has_source:
            raise WeftError("search.output_length is source, but a language model has no source")
        told = self.recipe.data.direction == "both"  # by one more token of each source
        return [replace(line, tokens=max(0, len(line.sources[0]) - told)) for line in lines]

    def block(self, lines: list[Encoded], n_best: int, attention: bool, strategy: Strategy) -> list[Prediction]:
        predictions = [Prediction("", 0.0, [], [], "empty")] * len(lines)
        with answering(self.network):
            model = self.step_model(strategy.settings)
            sizes = [line.length + 1 if len(line.sources[0]) or not self.has_source else 0 for line in lines]
            for places in by_length(sizes, strategy.settings.batch_tokens, strategy.width):
                found = self.hypotheses(model, [lines[place] for place in places], attention, strategy)
                for place, hypotheses in zip(places, found, strict=True):
                    best, *others = self.outputs(hypotheses, lines[place].sources[0], strategy)[:n_best]
                    predictions[place] = replace(best, alternatives=others)
        return predictions

    def step_model(self, settings: Search) -> StepModel:
        """What the search steps: the network, or the ensemble of all, beside a language model where there is one."""
        model: StepModel = self.packed or self.network
        if len(self.members) > 1:
            model = Ensemble([member.packed or member.network for member in self.members], self.same_source)
        if settings.language_model is None:
            return model
        beside = self.language_model(settings.language_model)
        return Fused(model, beside.packed or beside.network, settings.language_model_weight)

    def language_model(self, folder: str) -> Model:
        if folder not in self.language_models:
            found = load(folder, str(self.device), self.weights)
            if found.has_source:
                kind = found.recipe.model.encoder.kind
                raise WeftError(f"{folder}: not a language model: its model.encoder.kind is {kind}; expected none")
            check_target(self.target, found.target, f"the language model {folder}")
            self.language_models[folder] = found
        return self.language_models[folder]

    @property
    def same_source(self) -> bool:
        """Whether all members cut a source in the same pieces."""
        first, *others = (
            (pieces_of(member.source), member.recipe.data.direction, member.recipe.model.input)
            for member in self.members
        )
        return all(other == first for other in others)

    def hypotheses(
        self, model: StepModel, lines: list[Encoded], attention: bool, strategy: Strategy
    ) -> list[list[Hypothesis]]:
        source = self.padded([line.sources for line in lines])
        short = None
        if self.shortlist:
            short = narrowed.Narrowed(self.shortlist, lines, strategy.never)
            model, lines = short.model(model, self.device), [short.line(line) for line in lines]
        limits = strategy.limits(lines, attention)
        chooser = strategy.chooser(lines, limits, self.device)
        found = search(model, source, chooser, limits, strategy.rules(lines, self.device, short is not None))
        return found if short is None else [[short.hypothesis(one) for one in of_line] for of_line in found]

    def padded(self, sources: Sequence[tuple[Any, ...]]) -> Padded:
        """The sources of each of a batch's lines, as each member takes them."""
        each = tuple(
            member.reads.padded(of_member).to(self.device)
            for member, of_member in zip(self.members, zip(*sources, strict=True), strict=True)
        )
        return each[0] if len(each) == 1 else Sources(each[0].data, each[0].lengths, each)

    def outputs(self, hypotheses: list[Hypothesis], source: Any, strategy: Strategy) -> list[Prediction]:
        predictions = [self.prediction(hypothesis, source) for hypothesis in hypotheses]
        if not strategy.settings.minimum_bayes_risk:
            return predictions
        utilities = by_utility([prediction.text for prediction in predictions])
        return [replace(predictions[place], utility=utility) for place, utility in utilities]

    def prediction(self, hypothesis: Hypothesis, source: Any) -> Prediction:
        probable = None
        if self.recipe.tags == "labels":
            names = labels.names(self.target)
            hypothesis, probable = labels.there(hypothesis, names), labels.probabilities(hypothesis, names)
        return Prediction(
            text=self.target.decode(hypothesis.tokens),
            score=hypothesis.score,
            tokens=self.target.pieces(hypothesis.tokens),
            token_scores=hypothesis.token_scores,
            finish_reason=hypothesis.finish_reason,
            source_tokens=self.reads.pieces(source),
            unknown=self.reads.unknown(source),
            labels=probable,
            attention=None if hypothesis.attention is None else hypothesis.attention[:, : len(source) + 1],
        )

    @torch.inference_mode()
    def vectors(
        self, lines: Iterable[str], direction: Direction = "forward", batch_tokens: int = 4096
    ) -> NDArray[np.float32]:
        """(N,D) the fixed-length vector c of each line or image, in order; of an empty line no numbers (NaN).

        Raises WeftError for a language model, which has no source, and for an ensemble.
        """
        if not self.has_source or len(self.members) > 1:
            what = "an ensemble" if self.has_source else "a language model"
            raise WeftError(f"{what} has no vector of a line")
        with answering(self.network):
            rest, found = lines_of(lines), []
            while block := list(islice(rest, self.reads.block)):
                sources = self.reads.encoded(block, direction)
                sizes = [len(source) and len(source) + 1 for source in sources]
                of_block = np.full((len(block), self.network.vector_width), np.nan, np.float32)
                for places in by_length(sizes, batch_tokens, 1):
                    memory = self.network.encode(self.padded([(sources[place],) for place in places]))
                    of_block[places] = memory.context.float().cpu().numpy()
                found.append(of_block)
        return np.concatenate(found) if found else np.zeros((0, self.network.vector_width), np.float32)

    def score(
        self, pairs: Iterable[tuple[str, str]], direction: Direction = "forward", batch_tokens: int = 4096
    ) -> list[Scored]:
        """How probable each pair's target is, given its source; in order, and exactly."""
        given = list(pairs)
        lines = list(lines_of(source for source, _ in given))
        sources = [line.sources for line in self.encoded(lines, direction)]
        targets = self.target.encode_lines([checked("target", row, target) for row, (_, target) in enumerate(given)])
        if self.recipe.tags == "labels":
            targets = [told(ids, self.target.size) for ids in targets]
        scored = [Scored([], [])] * len(given)
        with answering(self.network):
            model = self.step_model(Search())
            sizes = [max(len(source[0]), len(target)) + 1 for source, target in zip(sources, targets, strict=True)]
            for places in by_length(sizes, batch_tokens, 1):
                gold = pad([targets[place] for place in places], last=self.target.eos).to(self.device)
                found = score(model, self.padded([sources[place] for place in places]), gold, self.target.bos)
                for place, scores in zip(places, found, strict=True):
                    ids = targets[place]
                    scored[place] = Scored(self.target.pieces(ids), scores, ids.count(self.target.unk))
        return scored


def load(
    folder: str | Path | Sequence[str | Path],
    device: str = "cpu",
    weights: Weights = "float32",
    shortlist: bool = False,
) -> Model:
    """The model in a directory that `weft train` made, or of several directories the ensemble of their models.

    With `weights` int8 it answers faster on a CPU, and not quite the same; with the `shortlist` that `weft shortlist`
    made (of an ensemble the first model's), outputs hold words alone that go with their sources. Raises WeftError where
    a file is missing or damaged, where target vocabularies differ, for int8 where it cannot run, and for a shortlist
    where it has no place.
    """
    if isinstance(folder, str | Path):
        return one(Path(folder), device, weights, shortlist, listed=shortlist)
    return Model.ensemble(
        [one(Path(each), device, weights, shortlist and not number, shortlist) for number, each in enumerate(folder)]
    )


def one(folder: Path, device: str, weights: Weights, shortlist: bool, listed: bool) -> Model:
    """The model of one directory, with its shortlist, or `listed` by that of another."""
    place = weft.models.device.device(device)
    quantized.checked(weights, place)
    loaded = directory.load(folder, place)
    found = narrowed.read(folder, loaded) if shortlist else None
    is_packed = place.type == "cpu" and loaded.recipe.model.decoder.kind != "pixels"
    packed = Packed(loaded.network, weights) if is_packed else None
    if weights == "int8":
        quantized.quantize(loaded.network, keep_output=listed)
    return Model(turned(loaded.recipe), loaded.network, loaded.source, loaded.target, (), weights, packed, found)


def by_length(sizes: list[int], tokens: int, width: int) -> Iterator[list[int]]:
    """Places of the lines whose size is not zero, in batches of like size, largest first."""
    order = sorted((place for place, size in enumerate(sizes) if size), key=lambda place: (-sizes[place], place))
    start = 0
    while start < len(order):
        count = max(1, tokens // (sizes[order[start]] * width))
        yield order[start : start + count]
        start += count
