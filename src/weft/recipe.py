"""Every setting there is, typed, checked, in one place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from weft.errors import WeftError, nearest

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False, protected_namespaces=())


class Parallel(Section):
    """Two files (or lists of files) that belong together line by line."""

    source: str | list[str]
    target: str | list[str]


Files = str | list[str] | Parallel


class Columns(Section):
    """Which columns of a TSV, CSV, JSONL or Parquet file hold the two sides: a name, or a number from 1.

    A name means that the first line of a TSV or CSV file names the columns.
    """

    source: str | int = 1
    target: str | int = 2


class Data(Section):
    train: Files = Field(description="a file, a glob, a list of them, '-' for standard input, or {source, target}")
    dev: Files | None = Field(None, description="held-out pairs; without it a part of `train` is split off by hash")
    test: Files | None = Field(None, description="what `weft evaluate RUN` scores when it is given no file")
    columns: Columns = Columns()
    dev_fraction: float = Field(0.05, gt=0.0, le=0.5, description="part of `train` held out when `dev` is not given")
    max_length: int = Field(256, ge=1, description="longer pairs, in pieces of either side, are left out and counted")
    duplicates: Literal["keep", "drop"] = Field("keep", description="what becomes of a pair that was there before")

    @field_validator("train", "dev", "test", mode="before")
    @classmethod
    def a_lone_dash_is_standard_input(cls, files: Any) -> Any:
        return "-" if files == [None] else files  # how YAML reads `{train: -}`


class Vocabulary(Section):
    """Pieces of one side (or of both, where `shared`)."""

    kind: Literal["word", "character", "bpe", "unigram"] = "bpe"
    size: int = Field(8000, ge=8, description="at most so many pieces; fewer where the data has fewer")
    byte_fallback: bool = Field(True, description="spell out unseen characters as bytes (bpe and unigram)")


class Vocabularies(Section):
    shared: bool = Field(False, description="one vocabulary for both sides, made from `source`")
    source: Vocabulary = Vocabulary()
    target: Vocabulary = Vocabulary()
    normalization: Literal["identity", "nfkc"] = Field("identity", description="identity gives back what went in")


class Embedding(Section):
    share: Literal["none", "target", "all"] = Field(
        "target", description="target: decoder input and output are one matrix; all: the encoder's input too"
    )
    dropout: float = Field(0.1, ge=0.0, lt=1.0)


class RecurrentEncoder(Section):
    """Bidirectional GRU or LSTM (Bahdanau et al. 2015, section 3.2)."""

    kind: Literal["rnn"] = "rnn"
    cell: Literal["gru", "lstm"] = "gru"
    layers: int = Field(1, ge=1)
    width: int = Field(256, ge=1, description="of each direction")
    dropout: float = Field(0.2, ge=0.0, lt=1.0)


class RecurrentDecoder(Section):
    """GRU or LSTM with additive attention (Bahdanau et al. 2015, section 3.1)."""

    kind: Literal["rnn"] = "rnn"
    cell: Literal["gru", "lstm"] = "gru"
    layers: int = Field(1, ge=1)
    width: int = Field(256, ge=1)
    attention_width: int = Field(256, ge=1)
    dropout: float = Field(0.2, ge=0.0, lt=1.0)


class TransformerStack(Section):
    """Layers of self-attention and feed-forward (Vaswani et al. 2017, section 3)."""

    kind: Literal["transformer"] = "transformer"
    layers: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)
    feed_forward: int = Field(1024, ge=1)
    norm: Literal["pre", "post"] = "pre"
    activation: Literal["relu", "gelu"] = "relu"
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    attention_dropout: float = Field(0.0, ge=0.0, lt=1.0)


class Model(Section):
    width: int = Field(256, ge=1, description="of the embeddings and of the Transformer")
    embedding: Embedding = Embedding()
    encoder: RecurrentEncoder | TransformerStack = Field(TransformerStack(), discriminator="kind")
    decoder: RecurrentDecoder | TransformerStack = Field(TransformerStack(), discriminator="kind")

    @model_validator(mode="after")
    def heads_divide_the_width(self) -> Model:
        for name in ("encoder", "decoder"):
            stack = getattr(self, name)
            if isinstance(stack, TransformerStack) and self.width % (2 * stack.heads):
                raise ValueError(
                    f"model.{name}.heads is {stack.heads}, which does not divide model.width {self.width} "
                    f"into heads of even width"
                )
        return self


class Optimizer(Section):
    kind: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0.0, description="the highest rate that the schedule reaches")
    betas: tuple[Beta, Beta] = (0.9, 0.98)
    epsilon: float = Field(1e-9, gt=0.0)
    weight_decay: float = Field(0.0, ge=0.0)


class Schedule(Section):
    """How the learning rate goes over the steps, after a linear warm-up."""

    kind: Literal["constant", "inverse_sqrt", "cosine", "plateau"] = "inverse_sqrt"
    warmup: int = Field(1000, ge=0, description="steps from zero to the full rate")
    floor: float = Field(0.0, ge=0.0, le=1.0, description="part of the full rate that cosine ends at")
    factor: float = Field(0.5, gt=0.0, lt=1.0, description="plateau: multiplies the rate")
    patience: int = Field(1, ge=0, description="plateau: validations without improvement before it does")


class Validation(Section):
    every: int = Field(500, ge=1, description="steps")
    metric: str = Field("loss", description="what decides on best checkpoint and early stop: loss or a metric")
    metrics: list[str] = Field([], description="computed on real search output at each validation")
    items: int = Field(500, ge=1, description="search runs on so many items, spread evenly over the development set")
    loss_pairs: int = Field(10_000, ge=1, description="the loss is taken over so many pairs, spread evenly too")
    beam: int = Field(1, ge=1, description="of that search; greedy is fast, and orders checkpoints as well")
    patience: int | None = Field(None, ge=1, description="stop after so many validations without improvement")
    several_references: bool = Field(False, description="equal sources are one item; its targets are alternatives")


class Training(Section):
    steps: int = Field(20000, ge=1)
    epochs: int | None = Field(None, ge=1, description="stop after so many passes even when steps are left")
    minutes: float | None = Field(None, gt=0.0, description="stop after so much time; a resumed run goes on counting")
    batch_tokens: int = Field(4096, ge=1, description="padded positions of the longer side in one update")
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    clip: float | None = Field(1.0, gt=0.0, description="largest norm of the gradient")
    accumulate: int = Field(1, ge=1, description="micro-batches that one update is split into")
    precision: Literal["float32", "bf16_products", "bf16"] = Field(
        "float32", description="bf16_products: float32 with bf16 matrix products on CPU; bf16: autocast"
    )
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    seed: int = Field(1, ge=0, lt=2**63)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    threads: int | None = Field(None, ge=1)
    save_every: int = Field(500, ge=1, description="steps between states to resume from")
    keep_last: int = Field(5, ge=1, description="validated checkpoints kept for averaging")
    keep_best: int = Field(5, ge=1)
    average: int = Field(0, ge=0, description="at the end, average the last so many and take that where it is better")

    @model_validator(mode="after")
    def what_is_averaged_is_kept(self) -> Training:
        if self.average > self.keep_last:
            raise ValueError(f"training.average is {self.average}, but training.keep_last keeps {self.keep_last}")
        return self


class Search(Section):
    beam: int = Field(5, ge=1, description="1 is greedy")
    length_penalty: float = Field(1.0, ge=0.0, description="the sum of log-probabilities is divided by length to this")
    max_ratio: float = Field(2.0, gt=0.0, description="output length is capped at ratio * source length + extra")
    max_extra: int = Field(20, ge=0)
    min_length: int = Field(0, ge=0)
    no_repeat_ngram: int = Field(0, ge=0, description="0 is off")
    batch_tokens: int = Field(4096, ge=1)


class Recipe(Section):
    name: str = Field("", description="names the run; the recipe file's or data file's name when empty")
    out: str = Field("runs", description="the folder that holds the run")
    source_language: str = ""
    target_language: str = Field("", description="two letters; chooses the tokeniser that BLEU is computed with")
    data: Data
    vocabulary: Vocabularies = Vocabularies()
    model: Model = Model()
    training: Training = Training()
    validation: Validation = Validation()
    search: Search = Search()

    @model_validator(mode="after")
    def sharing_everything_needs_one_vocabulary(self) -> Recipe:
        if self.model.embedding.share == "all" and not self.vocabulary.shared:
            raise ValueError("model.embedding.share is 'all', which needs vocabulary.shared: true")
        return self


def load(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in a YAML file, with `a.b=value` overrides; WeftError names the line of whatever is wrong."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise WeftError(f"{path}: no such recipe") from None
    except UnicodeDecodeError:
        raise WeftError(f"{path}: not a recipe: it is not UTF-8 text") from None
    except OSError as error:
        raise WeftError(f"{path}: cannot be read as a recipe: {error.strerror}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        settings = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark, why = error.problem_mark, error.problem
        if mark and mark.index >= 2 and text[mark.index - 2 : mark.index + 2].rstrip("\r\n") == ": -":
            why = "standard input is '-', with quotes"
        raise WeftError(f"{path}{f':{mark.line + 1}' if mark else ''}: not YAML: {why}") from None
    except yaml.YAMLError as error:
        raise WeftError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise WeftError(f"{path}: a recipe is a mapping of sections such as `data:` and `model:`")
    lines = line_numbers(node) if node is not None else {}
    for override in overrides:
        apply_override(settings, override)
        keys = tuple(override.partition("=")[0].split("."))
        lines |= {keys[:n]: None for n in range(1, len(keys)) if keys[:n] not in lines} | {keys: None}
    return checked(settings, str(path), lines)


def apply_override(settings: dict[str, Any], override: str) -> None:
    """Set `a.b=value` in nested mappings; the value is read as YAML."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise WeftError(f"'{override}' is no override; expected section.key=value, such as training.steps=5000")
    *sections, last = key.split(".")
    place = settings
    for section in sections:
        below = place.setdefault(section, {})
        if not isinstance(below, dict):
            raise WeftError(f"override '{override}': '{section}' is a value, not a section")
        place = below
    try:
        place[last] = "-" if value == "-" else yaml.safe_load(value)
    except yaml.YAMLError:
        place[last] = value


Lines = dict[tuple[str, ...], int | None]  # of each key; None where it came from the command line


def checked(settings: Mapping[str, Any], where: str, lines: Lines | None = None) -> Recipe:
    """A Recipe from plain mappings, or a WeftError with one line for each thing that is wrong."""
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        complaints = [complaint(item, where, lines or {}) for item in error.errors(include_url=False)]
    raise WeftError("\n".join(dict.fromkeys(complaints)))


def complaint(item: Mapping[str, Any], where: str, lines: Lines) -> str:
    path = keys_of(item["loc"]) + (("kind",) if item["type"] == "union_tag_invalid" else ())
    key = ".".join(path)
    known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    place = where if known is None else f"{where}:{lines[known]}" if lines[known] else "command line"
    if path[:1] == ("data",) and path[1:2] in (("train",), ("dev",), ("test",)) and len(item["loc"]) > 2:
        return f"{place}: '{'.'.join(path[:2])}' must be a file, a list of files, or {{source: ..., target: ...}}"
    if item["type"] == "extra_forbidden":
        others = [other for other in keys_at(path[:-1]) if other != path[-1]]
        return f"{place}: unknown key '{key}'{nearest(path[-1], others)}"
    if item["type"] == "union_tag_invalid":
        near = nearest(item["ctx"]["tag"], ("rnn", "transformer")) or ";"
        return f"{place}: '{key}' is {item['ctx']['tag']!r}{near} the kinds are rnn and transformer"
    if item["type"] == "union_tag_not_found":
        return f"{place}: '{key}' needs a kind: rnn or transformer"
    if item["type"] == "missing":
        return f"{place}: '{key}' is missing"
    if item["type"] == "value_error":
        return f"{place}: {item['ctx']['error']!s}"
    message = item["msg"][0].lower() + item["msg"][1:]
    return f"{place}: '{key}' is {item['input']!r}: {message}"


def keys_of(loc: Iterable[str | int]) -> tuple[str, ...]:
    """The path of keys in the file: pydantic's own names of union members are not part of it."""
    members = {"rnn", "transformer", "str", "int", "list[str]", "Parallel"}
    return tuple(str(part) for part in loc if part not in members)


def keys_at(path: tuple[str, ...]) -> list[str]:
    """The keys that the JSON Schema allows at a path."""
    schema = Recipe.model_json_schema()
    places = [schema]
    for key in path:
        places = [
            resolved(option, schema) for place in places for option in options(place.get("properties", {}).get(key, {}))
        ]
    return [key for place in places for key in place.get("properties", {})]


def options(place: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(place.get("anyOf") or place.get("oneOf") or place.get("allOf") or [place])


def resolved(place: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    reference = place.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else dict(place)


def line_numbers(node: yaml.Node, path: tuple[str, ...] = ()) -> Lines:
    """The line, from 1, on which each key of a YAML document stands."""
    found: Lines = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            found[below] = key.start_mark.line + 1
            found.update(line_numbers(value, below))
    return found


def dump(recipe: Recipe) -> str:
    """The whole resolved recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def json_schema() -> str:
    """JSON Schema of a recipe, for editors that complete and check YAML."""
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "weft recipe"
    return json.dumps(schema, indent=2)
