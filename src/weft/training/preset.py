"""A recipe for a file of pairs that comes without one: sizes, vocabulary and schedule from what is in the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import weft.recipe
from weft.data.factors import words_of
from weft.data.lack import lack
from weft.data.read import names, read_pairs
from weft.errors import WeftError, counted
from weft.recipe import Recipe
from weft.training.precision import fastest
from weft.training.preset_series import date_column, suggest_series
from weft.training.shape import Pair, Shape, of_tags, shape_of

SAMPLE = 100_000  # pairs that are looked at
WARMING = 4  # at most one in so many steps
ENDS = ("encoder", "decoder")
FEW_TYPES = 300  # so few different words, each seen often, are units such as phonemes or tags


@dataclass(frozen=True)
class Side:
    """What the lines of one side are like."""

    words: float  # a line, on average
    characters: float  # a line, on average
    types: int  # different words
    alphabet: frozenset[str]

    @property
    def kind(self) -> str:
        """word for lines of few recurring units, character for single words, bpe for running text."""
        if self.words >= 2 and self.types <= FEW_TYPES:
            return "word"
        if self.words < 2 and self.characters <= 40:
            return "character"
        return "bpe"


def look_at(lines: Sequence[str]) -> Side:
    words: Counter[str] = Counter()
    for line in lines:
        words.update(line.split())
    return Side(
        words=sum(words.values()) / len(lines),
        characters=sum(map(len, lines)) / len(lines),
        types=len(words),
        alphabet=frozenset("".join(lines)),
    )


def suggest(what: str, overrides: Sequence[str], say: Callable[[str], None]) -> Recipe:
    """The recipe for a data file, said in a few lines; `overrides` come last and win."""
    if what == "-":
        raise WeftError("standard input needs a recipe with train: '-', for its sizes cannot be chosen in advance")
    if (time := date_column(what)) is not None:
        return suggest_series(what, time, overrides, say)
    asked: dict[str, Any] = {"data": {"train": what}}
    for override in overrides:
        weft.recipe.apply_override(asked, override)
    data = weft.recipe.checked({"data": asked["data"]}, "command line").data
    pairs = list(islice(read_pairs(data.train, data.columns), SAMPLE))
    if data.columns.factors:
        pairs = [(words_of(source), target) for source, target in pairs]
    usable = [(source, target) for source, target in pairs if source.strip() and target.strip()]
    if not usable:
        why = lack(data.train, data.columns, len(pairs)) or ("every line has an empty side" if pairs else "it is empty")
        raise WeftError(f"{', '.join(names(data.train))}: no usable pair: {why}")
    pairs = usable
    source, target = (look_at([pair[side] for pair in pairs]) for side in (0, 1))
    settings = chosen(source, target, len(pairs)) | {"name": Path(what).name.partition(".")[0]}
    settings["data"]["train"] = what
    if isinstance(steps := setting(asked, "training", "steps"), int):
        schedule = settings["training"]["schedule"]
        schedule["warmup"] = min(schedule["warmup"], max(0, steps) // WARMING)
    for end in ENDS:
        kind = kind_asked(asked, end)
        if kind == "pretrained" and end == "encoder":
            leave_the_source(settings, backward=data.direction == "backward")
        if kind not in (None, "transformer", "pretrained"):
            settings["model"][end] = like_the_transformer(kind, settings["model"], end)
        if kind == "rnn":
            settings["model"]["embedding"]["dropout"] = settings["model"][end]["dropout"]
    shape = shape_asked(asked, pairs)
    if shape != "text":
        settings = of_tags(settings, shape, pairs, kind_asked(asked, "encoder") is not None)
    elif all(settings["model"][end].get("kind") == "transformer" for end in ENDS):
        settings["training"]["precision"] = fastest(setting(asked, "training", "device") or "auto")
    for override in overrides:
        weft.recipe.apply_override(settings, override)
    recipe = weft.recipe.checked(settings, "command line")
    for line in spoken(recipe, source, target, len(pairs)):
        say(line)
    return recipe


def chosen(source: Side, target: Side, pairs: int) -> dict[str, Any]:
    """Settings by the number of pairs: small data wants small models, more dropout and fewer pieces."""
    short = max(source.characters, target.characters) < 60
    pieces = 2000 if pairs < 20_000 else 8000 if pairs < SAMPLE else 16_000
    kinds = [source.kind, target.kind]
    shared = kinds == ["bpe", "bpe"] and overlap(source.alphabet, target.alphabet) > 0.5
    if pairs < 20_000:
        width, layers, dropout = 128, 3, 0.3
    elif pairs < SAMPLE or short:
        width, layers, dropout = 256, 3, 0.2
    else:
        width, layers, dropout = 512, 6, 0.1
    stack = {"kind": "transformer", "layers": layers, "heads": max(4, width // 64), "feed_forward": 4 * width}
    stack |= {"dropout": dropout}
    units = target.kind != "bpe"
    every = 100 if pairs < 20_000 else 500
    return {
        "vocabulary": {
            "shared": shared,
            "source": {"kind": source.kind, "size": max(pieces, smallest(source.alphabet | target.alphabet))},
            "target": {"kind": target.kind, "size": max(pieces, smallest(target.alphabet))},
        },
        "model": {
            "width": width,
            "embedding": {"share": "all" if shared else "target"},
            "encoder": dict(stack),
            "decoder": dict(stack),
        },
        "data": {"dev_fraction": 0.1 if pairs < 2000 else 0.05 if pairs < 20_000 else 0.02 if pairs < SAMPLE else 0.01},
        "training": {
            "batch_tokens": 1024 if pairs < 5000 else 4096,
            "steps": 100_000,
            "epochs": 300 if pairs < 5000 else 100 if pairs < SAMPLE else 30,
            "optimizer": {"learning_rate": 2e-3 if width <= 128 else 1e-3 if width <= 256 else 7e-4},
            "schedule": {"warmup": 400 if pairs < 20_000 else 2000},
        },
        "validation": {
            "every": every,
            "patience": 10,
            "metric": "line_error_rate" if units else "bleu",
            "metrics": ["line_error_rate", "character_error_rate" if target.kind == "character" else "unit_error_rate"]
            if units
            else ["bleu", "chrf"],
        },
    }


def kind_asked(asked: dict[str, Any], end: str) -> str | None:
    kind: str | None = setting(asked, "model", end, "kind")
    return kind


def shape_asked(asked: dict[str, Any], pairs: Sequence[Pair]) -> Shape:
    """What the decoder that is asked for says; where none is, what the pairs are like and the encoder can do."""
    decoder = kind_asked(asked, "decoder")
    if decoder == "labels":
        return "labels"
    if decoder == "tags":
        return "line" if all(len(target.split()) == 1 for _, target in pairs) else "words"
    found = shape_of(pairs) if decoder is None else "text"
    by_words = kind_asked(asked, "encoder") != "pretrained"  # whose pieces are not told apart by words
    return found if by_words or found != "words" else "text"


def setting(asked: dict[str, Any], *keys: str) -> Any:
    """What is asked for below these keys, as it was given; None where nothing is."""
    found: Any = asked
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def like_the_transformer(kind: str, model: dict[str, Any], end: str) -> dict[str, Any]:
    """Another encoder or decoder; a recurrent or convolutional one is of the size that the Transformer would have."""
    if kind not in ("rnn", "conv"):
        return {"kind": kind}
    settings = {"kind": kind, "width": model["width"], "dropout": model[end]["dropout"]}
    return settings | {"layers": model[end]["layers"]} if kind == "conv" else settings


def leave_the_source(settings: dict[str, Any], backward: bool) -> None:
    """Choose nothing of what a pretrained encoder brings along: itself, and the pieces that it reads."""
    said = "source" if backward else "target"
    settings["model"] |= {"encoder": {}, "embedding": {"share": "target"}}
    settings["vocabulary"] = {said: settings["vocabulary"][said]}


def smallest(alphabet: frozenset[str]) -> int:
    """Pieces that hold every character and all bytes, with room for a few more."""
    return len(alphabet) + 512


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared part of all letters (Jaccard)."""
    one, other = (frozenset(c for c in side if c.isalpha()) for side in (one, other))
    return len(one & other) / max(1, len(one | other))


def spoken(recipe: Recipe, source: Side, target: Side, pairs: int) -> list[str]:
    """What was chosen, why, and how to say otherwise."""
    names = {"word": "words", "character": "characters", "bpe": "BPE pieces"}
    more = " or more" if pairs == SAMPLE else ""
    encoder, decoder = recipe.model.encoder, recipe.model.decoder
    epochs, patience = recipe.training.epochs, recipe.validation.patience
    said = f"{decoder.kind} decoder of {counted(decoder.layers, 'layer')}"
    if recipe.tags:
        each = {"words": "a tag for each word is", "labels": "any number of labels a line are"}
        of_line = each.get(recipe.tags, "one label a line is")
        said = f"of which {of_line} read  (as text instead: model.decoder.kind=transformer)"
    ends = [f"at most {counted(epochs, 'epoch')}"] if epochs else []
    if patience:
        ends.append(f"stops after {counted(patience, 'validation')} without a better {recipe.validation.metric}")
    pieces = [names[recipe.vocabulary.source.kind], names[recipe.vocabulary.target.kind]]
    hint = "vocabulary.source.kind=..., vocabulary.shared=..."
    if encoder.kind == "pretrained":
        of_encoder, backward = encoder.folder, recipe.data.direction == "backward"
        pieces[backward], hint = "the encoder's pieces", f"vocabulary.{'source' if backward else 'target'}.kind=..."
    else:
        of_encoder = f"of {counted(encoder.layers, 'layer')}"
    return [
        f"{counted(pairs, 'pair')}{more}: {source.characters:.0f} characters a source, "
        f"{target.characters:.0f} a target; different words {source.types:,} and {target.types:,}",
        f"source as {pieces[0]}, target as {pieces[1]}"
        f"{', one vocabulary' if recipe.vocabulary.shared else ''}  ({hint})",
        f"{encoder.kind} encoder {of_encoder}, "
        f"{said}, width {recipe.model.width}  "
        f"(model.width=..., model.encoder.kind=rnn ...)",
        ", ".join([f"batches of {counted(recipe.training.batch_tokens, 'token')}", *ends]) + "  (training.steps=...)",
        *said_of_precision(recipe.training.precision),
    ]


def said_of_precision(precision: str) -> list[str]:
    if precision == "float32":
        return []
    return [f"precision {precision}  (training.precision=float32)"]
