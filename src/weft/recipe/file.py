"""A recipe from its YAML file and overrides, with the line of whatever is wrong; and back to YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from weft.errors import WeftError, nearest
from weft.recipe.whole import Recipe


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
        lines = line_numbers(node, str(path))
    except yaml.MarkedYAMLError as error:
        mark, why = error.problem_mark, error.problem
        if mark and mark.index >= 2 and text[mark.index - 2 : mark.index + 2].rstrip("\r\n") == ": -":
            why = "standard input is '-', with quotes"
        raise WeftError(f"{path}{f':{mark.line + 1}' if mark else ''}: not YAML: {why}") from None
    except yaml.YAMLError as error:
        raise WeftError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise WeftError(f"{path}: YAML nested too deeply") from None
    except ValueError as error:  # of a date or number that there is not
        raise WeftError(f"{path}: not YAML: {error}; text stands in quotes") from None
    if not isinstance(settings, dict):
        raise WeftError(f"{path}: a recipe is a mapping of sections such as `data:` and `model:`")
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
    except RecursionError:
        raise WeftError(f"override '{key}': YAML nested too deeply") from None
    except (yaml.YAMLError, ValueError):
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
    inner = {"union_tag_invalid": "kind", "truth_value": item.get("ctx", {}).get("key")}.get(item["type"])
    path = keys_of(item["loc"]) + (() if inner is None else (inner,))
    key = ".".join(path)
    known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    place = where if known is None else f"{where}:{lines[known]}" if lines[known] else "command line"
    if path[:1] == ("data",) and path[1:2] in (("train",), ("dev",), ("test",)) and len(item["loc"]) > 2:
        return f"{place}: '{'.'.join(path[:2])}' must be a file, a list of files, or {{source: ..., target: ...}}"
    if item["type"] == "extra_forbidden":
        return f"{place}: unknown key '{key}'{instead(path)}"
    if item["type"] == "union_tag_invalid":
        kinds = item["ctx"]["expected_tags"].replace("'", "")
        near = nearest(item["ctx"]["tag"], kinds.split(", ")) or ";"
        return f"{place}: '{key}' is {item['ctx']['tag']!r}{near} the kinds are {kinds}"
    if item["type"] == "union_tag_not_found":
        return f"{place}: '{key}' needs a kind, such as kind: transformer"
    if item["type"] == "missing":
        return f"{place}: '{key}' is missing"
    if item["type"] == "value_error":
        return f"{place}: {item['ctx']['error']!s}"
    value = item["ctx"]["value"] if item["type"] == "truth_value" else item["input"]
    message = item["msg"][0].lower() + item["msg"][1:]
    return f"{place}: '{key}' is {value!r}: {message}"


def instead(path: tuple[str, ...]) -> str:
    """What may have been meant by an unknown key: one of its name further down, one spelt like it, one elsewhere."""
    namesakes = called(path[-1])
    if ".".join(path) in namesakes:
        return f"; another kind of {'.'.join(path[:-1])} has it"
    below = [name for name in namesakes if name.startswith("".join(f"{key}." for key in path[:-1]))]
    near = "" if below else nearest(path[-1], [other for other in keys_at(path[:-1]) if other != path[-1]])
    if near or not namesakes:
        return near
    found = below or namesakes
    return f"; there {'is' if len(found) == 1 else 'are'} {', '.join(found)}"


def called(name: str) -> list[str]:
    """Where the recipe has a key of this name, each as `section.key`."""
    schema = Recipe.model_json_schema()

    def within(place: Mapping[str, Any], above: str) -> Iterator[str]:
        for key, value in place.get("properties", {}).items():
            if key == name:
                yield f"{above}{key}"
            for option in options(value):
                yield from within(resolved(option, schema), f"{above}{key}.")

    return list(dict.fromkeys(within(schema, "")))


def keys_of(loc: Sequence[str | int]) -> tuple[str, ...]:
    """The path of keys in the file: pydantic's own names of union members are not part of it."""
    members = {"str", "int", "list[str]", "list[int]", "list[union[str,int]]", "Parallel"}
    with_kinds = [("model", end) for end in ("input", "encoder", "decoder", "output")]
    kind = {2} if loc[:2] in with_kinds else set()
    return tuple(str(part) for place, part in enumerate(loc) if part not in members and place not in kind)


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


def line_numbers(node: yaml.Node | None, where: str, path: tuple[str, ...] = ()) -> Lines:
    """The line, from 1, on which each key of a YAML document stands; WeftError for one that is there twice."""
    found: Lines = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            line = key.start_mark.line + 1
            if below in found:
                raise WeftError(f"{where}:{line}: '{'.'.join(below)}' is there twice, the first on line {found[below]}")
            found[below] = line
            found.update(line_numbers(value, where, below))
    return found


def dump(recipe: Recipe) -> str:
    """The whole resolved recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def json_schema() -> str:
    """JSON Schema of a recipe, for editors that complete and check YAML."""
    schema = Recipe.model_json_schema()
    for part in schema["$defs"].values():
        if "const" in part["properties"].get("kind", {}):  # which tells it from others
            part["required"] = ["kind", *part.get("required", [])]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "weft recipe"
    return json.dumps(schema, indent=2)
