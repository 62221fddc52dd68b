"""Every recipe of docs/data.md, done: its data is prepared, and batches of it are made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import weft.recipe
from weft.data.corpus import prepare
from weft.data.examples import Examples

PAGE = Path(__file__).parent.parent.parent / "docs" / "data.md"
RECIPES = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
SOURCES = [f"the cat{n} sat on mat {n}" for n in range(40)]
TARGETS = [f"die Katze{n} auf Matte {n}" for n in range(40)]


def column(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pairs = [f"{source}\t{target}" for source, target in zip(SOURCES, TARGETS, strict=True)]
    contents = {
        "pairs.tsv": pairs,
        "other.tsv": pairs[:9],
        "more.en": SOURCES,
        "more.de": TARGETS,
        "lines.txt": TARGETS,
        "chunks.tsv": [
            f"{source}\t{' '.join(source.split())}\t{' '.join('O' for _ in source.split())}" for source in SOURCES
        ],
        "chat.jsonl": [json.dumps(list(pair)) for pair in zip(SOURCES, TARGETS, strict=True)],
    }
    for name, lines in contents.items():
        Path(name).write_text(column(lines))


@pytest.mark.parametrize("text", RECIPES, ids=lambda text: text.splitlines()[0])
def test_recipes_of_the_page_make_batches(text: str) -> None:
    settings = yaml.safe_load(text)
    settings.setdefault("vocabulary", {side: {"kind": "bpe", "size": 400} for side in ("source", "target")})
    recipe = weft.recipe.checked(settings, "the page")
    examples = Examples(recipe, prepare(recipe))
    assert sum(len(examples.batch(draw, 1).rows) for draw in examples.order.epoch(1)) > 30


def test_there_are_recipes() -> None:
    assert len(RECIPES) == 8
