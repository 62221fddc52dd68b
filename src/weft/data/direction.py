"""From source to target, from target to source, or both ways within one model (Johnson et al. 2017)."""

from __future__ import annotations

from typing import Any, Literal, get_args

from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.recipe import Data, Files, Mixed, Parallel, Recipe, Vocabularies

Direction = Literal["forward", "backward"]

TOKENS = {"forward": "<forward>", "backward": "<backward>"}  # what a source begins with in a model of both directions


def shaping(recipe: Recipe) -> dict[str, Any]:
    return {"direction": "both"} if recipe.data.direction == "both" else {}


def turned(recipe: Recipe) -> Recipe:
    """Of a recipe whose direction is backward, the one that says the same with its sides exchanged, and is forward.

    The sides of files, columns, languages, vocabularies and what starts them change places; any other recipe stays as
    it is. Raises WeftError where there is text without a source, which cannot become a target.
    """
    data = recipe.data
    if data.direction != "forward":
        refuse_without_source(data)
    if data.direction != "backward":
        return recipe
    turned_data = {
        "train": exchanged(data.train),
        "also": [Mixed(train=exchanged(mixed.train), weight=mixed.weight) for mixed in data.also],
        "dev": None if data.dev is None else exchanged(data.dev),
        "test": None if data.test is None else exchanged(data.test),
        "columns": data.columns.model_copy(update={"source": data.columns.target, "target": data.columns.source}),
        "direction": "forward",
    }
    start = {"source_vectors": recipe.start.target_vectors, "target_vectors": recipe.start.source_vectors}
    return recipe.model_copy(
        update={
            "source_language": recipe.target_language,
            "target_language": recipe.source_language,
            "data": data.model_copy(update=turned_data),
            "vocabulary": turned_vocabularies(recipe.vocabulary),
            "start": recipe.start.model_copy(update=start),
        }
    )


def turned_vocabularies(vocabularies: Vocabularies) -> Vocabularies:
    """With the settings of the two sides exchanged; a shared vocabulary stays, and only its sampling changes sides."""
    source, target = vocabularies.source, vocabularies.target
    if not vocabularies.shared:
        return vocabularies.model_copy(update={"source": target, "target": source})
    sampling = (source.sampling, target.sampling)
    source = source.model_copy(update={"sampling": sampling[1]})
    target = target.model_copy(update={"sampling": sampling[0]})
    return vocabularies.model_copy(update={"source": source, "target": target})


def exchanged(files: Files) -> Files:
    """Parallel files in the other order; a file of pairs is the same, for its columns say which side is which."""
    if not isinstance(files, Parallel) or files.source is None:
        return files
    return Parallel(source=files.target, target=files.source)


def refuse_without_source(data: Data) -> None:
    parts = {"data.train": data.train, "data.dev": data.dev, "data.test": data.test}
    parts |= {f"data.also.{number}.train": mixed.train for number, mixed in enumerate(data.also)}
    for key, files in parts.items():
        if isinstance(files, Parallel) and files.source is None:
            raise WeftError(f"data.direction is '{data.direction}', but {key} has no source that could be a target")


def tokens(vocabulary: Vocabulary) -> tuple[int, int]:
    """Ids of the tokens for forward and for backward; WeftError where the vocabulary was made without them."""
    found = [vocabulary.control(piece) for piece in TOKENS.values()]
    if found[0] is None or found[1] is None:
        raise WeftError(f"data.direction is 'both', but the vocabulary has no pieces {' and '.join(TOKENS.values())}")
    return found[0], found[1]


def directed(lines: list[list[int]], direction: Direction, recipe: Recipe, vocabulary: Vocabulary) -> list[list[int]]:
    """Source lines for a model of this recipe, which begin with the direction's token where it goes both ways.

    Raises WeftError for backward where the model knows only forward.
    """
    if direction not in get_args(Direction):
        raise WeftError(f"direction is '{direction}'; expected forward or backward")
    if recipe.data.direction == "both":
        token = tokens(vocabulary)[direction == "backward"]
        return [[token, *ids] if ids else ids for ids in lines]
    if direction == "backward":
        raise WeftError("this model goes one way; one that goes both is trained with data.direction=both")
    return lines
