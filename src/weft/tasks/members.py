"""What models have to have in common that answer as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError, counted
from weft.tasks import narrowed

if TYPE_CHECKING:
    from weft.tasks.text import Model


def check_member(first: Model, other: Model, called: str) -> None:
    """WeftError where a further member of an ensemble does not answer as the first one does."""
    kinds = [model.recipe.model.decoder.kind for model in (first, other)]
    if (kinds[0] == "labels") != (kinds[1] == "labels"):
        raise WeftError(f"{called} has decoder {kinds[1]}, the first has {kinds[0]}")
    check_target(first.target, other.target, called)
    if first.shortlist:
        narrowed.check(other.recipe, called)
        if not isinstance(other.network.output.projection, nn.Linear):
            raise WeftError(
                f"{called} has an output layer in integers, which a shortlist cannot narrow; load both as one"
            )
    columns = [len(model.recipe.data.columns.factors) for model in (first, other)]
    if columns[0] != columns[1]:
        raise WeftError(
            f"{called} reads {counted(columns[1], 'column')} of features beside the words, the first model {columns[0]}"
        )


def check_target(mine: Vocabulary, other: Vocabulary, called: str) -> None:
    """WeftError where two models do not speak in the same pieces."""
    ours, theirs = pieces_of(mine), pieces_of(other)
    if ours == theirs:
        return
    found = f"{len(theirs)} pieces, where the model has {len(ours)}"
    if len(ours) == len(theirs):
        number = next(number for number, pair in enumerate(zip(ours, theirs, strict=True)) if len(set(pair)) > 1)
        found = f"piece {number} is {theirs[number]!r}, where the model has {ours[number]!r}"
    raise WeftError(
        f"{called} has another target vocabulary: {found}; train it with start.target_vocabulary: RUN, the model's run"
    )


def pieces_of(vocabulary: Vocabulary) -> list[str]:
    return vocabulary.pieces(range(vocabulary.size))
