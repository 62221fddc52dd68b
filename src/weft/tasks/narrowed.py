"""A batch that says only what goes with its sources: the tokens of its list are numbered anew for the search.

The special tokens are the first of every vocabulary and of every list, so that they keep their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from weft.data.corpus import prepare
from weft.data.shortlist import Shortlist
from weft.errors import WeftError
from weft.models import directory
from weft.models.base import StepModel
from weft.models.packed import Packed
from weft.models.seq2seq import Seq2Seq
from weft.models.shortlisted import Shortlisted
from weft.recipe import Recipe
from weft.search.ensemble import Ensemble
from weft.search.hypothesis import Hypothesis
from weft.search.phrases import Phrase
from weft.tasks.line import Encoded


class Narrowed:
    """The list of one batch."""

    def __init__(self, shortlist: Shortlist, lines: Sequence[Encoded], never: Sequence[int]) -> None:
        """`never` are tokens that are no output; what lines are told to hold, or not to, is in the list."""
        told = {i for line in lines for phrase in (*line.must, *line.never) for form in phrase for i in form}
        told |= {i for line in lines for i in line.prefix}
        self.ids = shortlist.of([line.sources[0] for line in lines], told, never)

    def line(self, line: Encoded) -> Encoded:
        must, never = ([self.phrase(phrase) for phrase in phrases] for phrases in (line.must, line.never))
        return replace(line, prefix=self.numbers(line.prefix), must=must, never=never)

    def phrase(self, phrase: Phrase) -> Phrase:
        return Phrase(self.numbers(phrase.inside), self.numbers(phrase.start))

    def numbers(self, ids: Sequence[int]) -> list[int]:
        """Of ids that are in the list, their numbers there."""
        found: list[int] = np.searchsorted(self.ids, np.asarray(ids, np.int64)).tolist()
        return found

    def model(self, model: StepModel, device: torch.device) -> StepModel:
        ids = torch.from_numpy(self.ids).to(device)
        if isinstance(model, Ensemble):
            return Ensemble([self.model(member, device) for member in model.models], model.same_source)
        assert isinstance(model, Seq2Seq | Packed)
        return Shortlisted(model, ids)

    def hypothesis(self, found: Hypothesis) -> Hypothesis:
        """With the vocabulary's ids."""
        return replace(found, tokens=self.ids[found.tokens].tolist())


def check(recipe: Recipe, called: Path | str) -> None:
    """WeftError for a model whose output layer is not one that a shortlist makes smaller."""
    model = recipe.model
    if recipe.tags or model.decoder.kind == "pixels":
        reason = "its outputs are no words"
    elif model.copy_source:
        reason = "it copies from the source (model.copy_source), whatever the list holds"
    elif model.input.kind == "image" or model.encoder.kind == "none":
        reason = "it has no source of words that a list could go by"
    elif recipe.data.gaps is not None:
        reason = "it learns from lines alone (data.gaps), of which no word goes with another"
    else:
        return
    raise WeftError(f"{called}: a shortlist has no place in this model: {reason}")


def read(folder: Path, loaded: directory.Loaded) -> Shortlist:
    """The shortlist in a model's folder; WeftError where there is none, or none has a place."""
    check(loaded.recipe, folder)
    return Shortlist.load(folder, loaded.source.size, loaded.target.size)


def learn(folder: Path, best: int, frequent: int, say: Callable[[str], None]) -> Shortlist:
    """From the pairs that the model of a folder was trained on; WeftError where it has no use for a shortlist."""
    loaded = directory.load(folder, torch.device("cpu"))
    check(loaded.recipe, folder)
    source, target = loaded.source, loaded.target
    data = prepare(loaded.recipe, (source, target), report=say)
    shared = loaded.recipe.vocabulary.shared
    return Shortlist.learn(data.train, source.size, target.size, shared, best, frequent)
