"""Write the tables of docs/recipe.md from the recipe's own types: python docs/settings.py"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from weft.recipe import Recipe, Section

PAGE = Path(__file__).parent / "recipe.md"
BEGIN = "<!-- settings: written by docs/settings.py -->"
END = "<!-- end of settings -->"
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def page() -> str:
    """docs/recipe.md as it should be."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """A heading and a table for each section, the recipe itself first."""
    parts = []
    for path, section in sections(Recipe, ""):
        if rows := table(section):
            title = f"### `{path}`" if path else "### At the top"
            parts.append("\n\n".join(filter(None, [title, told_of(path, section), rows])))
    return "\n".join(parts)


def sections(section: type[Section], path: str) -> Iterator[tuple[str, type[Section]]]:
    """The path of each section with its type; of two that may stand in one place, both."""
    yield path, section
    for name, field in section.model_fields.items():
        for below in sections_of(field.annotation):
            yield from sections(below, f"{path}.{name}" if path else name)


def sections_of(annotation: Any) -> list[type[Section]]:
    """The sections that a field may hold; none where it may hold a plain value as well."""
    options = [option for option in members(annotation) if option is not NoneType]
    if all(isinstance(option, type) and issubclass(option, Section) for option in options):
        return options
    return []


def members(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [part for option in get_args(annotation) for part in members(option)]
    return [annotation]


def told_of(path: str, section: type[Section]) -> str:
    told = "" if section.__doc__ is None or section is Recipe else " ".join(section.__doc__.split())
    kind = section.model_fields.get("kind")
    if kind and len(get_args(kind.annotation)) == 1:
        told = f"With `kind: {kind.default}`. {told}"
    return told


def table(section: type[Section]) -> str:
    """A row for each setting of a section itself; nothing where it only holds other sections."""
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if not sections_of(field.annotation):
            cells = (f"`{name}`", value(field), default(field), field.description or "")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def value(field: FieldInfo) -> str:
    """What may stand there, in words, with its bounds."""
    bounds = [
        f"{SIGNS[sign]} {getattr(bound, sign):g}" for bound in field.metadata for sign in SIGNS if hasattr(bound, sign)
    ]
    options = members(field.annotation)
    kinds = ", or ".join(in_words(option) for option in options if option is not NoneType)
    return " ".join(filter(None, [kinds, ", ".join(bounds)])) + (", or null" if NoneType in options else "")


def in_words(option: Any) -> str:
    if get_origin(option) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(option))
    if get_origin(option) is list:
        return f"list of {' or '.join(in_words(each) for each in members(get_args(option)[0]))}"
    if get_origin(option) is tuple:
        return f"list of {len(get_args(option))} numbers"
    if isinstance(option, type) and issubclass(option, Section):
        return "{" + ", ".join(option.model_fields) + "}"
    return NAMES[option]


def default(field: FieldInfo) -> str:
    plain = field.default
    if plain is PydanticUndefined:
        return "must be given"
    if plain is None or plain == "":
        return "null" if plain is None else "empty"
    if isinstance(plain, float):
        return f"`{plain:g}`"
    listed = list(plain) if isinstance(plain, tuple) else plain
    text = yaml.safe_dump(listed, default_flow_style=True, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
