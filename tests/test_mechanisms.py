"""The pages on mechanisms hold: quotes are the code, recipes build, links lead somewhere, none is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from encoders import write_bert
from families import random_ids

from weft.data.batch import Batch, Factored
from weft.data.tokenizer import Tokenizer
from weft.models.pretrained import PretrainedEncoder, pretrained
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Recipe, checked
from weft.recipe.parts import SCORES
from weft.training.feeding import feeding

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "mechanisms"
INDEX = FOLDER / "README.md"
PAGES = sorted(set(FOLDER.glob("*.md")) - {INDEX})
QUOTE = run_path(str(FOLDER / "quote.py"))
PICTURES = run_path(str(FOLDER / "pictures.py"))
HEADINGS = ["The equations", "The lines", "In a recipe", "When it helps"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
RECIPE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def markers(kind: str) -> Counter[str]:
    """How often each rung's marker stands in the pages."""
    found = (re.findall(rf"^<!-- {kind}: (\S+) -->$", page.read_text("utf-8"), re.MULTILINE) for page in PAGES)
    return Counter(name for names in found for name in names)


def rungs() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load((ROOT / "recipes" / "ladder" / "rungs.yaml").read_text("utf-8"))
    return listed


def recipes(page: Path) -> Iterator[Recipe]:
    for block in RECIPE.findall(page.read_text("utf-8")):
        yield checked({**yaml.safe_load(block), "data": {"train": "x"}}, page.name)


def test_every_score_has_a_page() -> None:
    assert set(SCORES) <= {page.stem for page in PAGES}


def test_every_page_is_in_the_index_once() -> None:
    listed = Counter(re.findall(r"^- \[[^]]+\]\(([\w-]+\.md)\)", INDEX.read_text("utf-8"), re.MULTILINE))
    assert listed == {page.name: 1 for page in PAGES}


@each_page
def test_a_page_has_all_that_the_index_promises(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert re.search(r"^\$\$.+\$\$$", text, re.MULTILINE)
    assert QUOTE["MARKER"].search(text)
    assert RECIPE.search(text)


@each_page
def test_quotes_are_the_code(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == QUOTE["current"](text), "run: python docs/mechanisms/quote.py"


def test_a_quote_of_something_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"dot\.py: no Score\.backward"):
        QUOTE["current"]("<!-- code: src/weft/nn/scores/dot.py Score.backward -->\n")
    with pytest.raises(LookupError, match="with a statement unless"):
        QUOTE["current"]('<!-- code: src/weft/nn/scores/dot.py Score.forward "unless" -->\n')


@each_page
def test_recipes_build_and_can_be_trained(page: Path, tmp_path: Path) -> None:
    for recipe in recipes(page):
        encoder = None
        if recipe.model.encoder.kind == "pretrained":
            bert = str(write_bert(tmp_path / "bert", list("abc")))
            encoder = PretrainedEncoder(*pretrained(bert), recipe.model.encoder, Tokenizer.of(bert))
        model = Seq2Seq(recipe.model, 11, 11, pretrained=encoder, factors=[11] * recipe.factors)
        source, fed, gold = (random_ids(lengths, 11) for lengths in ([5, 3], [4, 6], [4, 6]))
        if recipe.factors:
            source = Factored(source.data, source.lengths, source.data[..., None].expand(-1, -1, recipe.factors))
        batch = Batch(source, fed, gold, rows=np.arange(2))
        loss, tokens = model.loss(batch, 0.1, feeding(recipe.training.feeding, step=2000))
        assert torch.isfinite(loss) and tokens == 10


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    prose = CODE.sub("", page.read_text("utf-8"))
    links = [link for link in LINK.findall(prose) if not link.startswith("https://")]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


def test_every_rung_of_the_ladder_has_its_place() -> None:
    assert markers("measured") == {rung["name"]: 1 for rung in rungs()}
    attending = {rung["name"] for rung in rungs() if "attention: null" not in " ".join(rung["settings"])}
    assert markers("picture") == dict.fromkeys(attending, 1)


def test_what_was_measured_is_written_under_its_marker_again_and_again() -> None:
    page = (
        "<!-- measured: dot -->\n\n<!-- picture: dot -->\n<!-- measured: feeding -->\nold\n\n<!-- measured: every -->\n"
    )

    def filled(text: str, dot: float) -> str:
        results = [{"rung": "bidirectional", "value": 20.0}, {"rung": "dot", "value": dot}]
        results += [{"rung": "scaled_dot", "value": 33.0}]
        results += [{"rung": "general", "value": 30.0}] + [{"rung": "feeding", "value": v} for v in (31.0, 32.0)]
        measured = PICTURES["values"](results)
        written: str = PICTURES["fill"](
            text, picture=lambda rung: f"![]({rung}.png)", measured=lambda rung: PICTURES["sentence"](rung, measured)
        )
        return written

    once = filled(page, 28.26)
    assert once.count("(Multi30k de→en, 10 epochs, one seed) the rung *dot attention* reaches 28.3 BLEU; ") == 1
    assert "; the rung below, *bidirectional*, 20.0.\n\n<!-- picture: dot -->\n![](dot.png)\n<!-- measured" in once
    assert "mean of 2 seeds) the rung *input feeding* reaches 31.5 BLEU; the same without it, *general" in once
    assert "old" not in once and once.endswith("<!-- measured: every -->\n")
    assert filled(once, 28.26) == once
    additive, coverage = ({"rung": rung, "value": 38.0} for rung in ("additive", "coverage"))
    told = PICTURES["sentence"]("coverage", PICTURES["values"]([additive, coverage]))
    assert told.endswith("*coverage* reaches 38.0 BLEU; the same without it, *additive attention*, 38.0.")
    assert filled("<!-- measured: scaled_dot -->\n", 28.26).endswith("*scaled dot attention* reaches 33.0 BLEU.\n")
    assert filled(once, 29.0) == once.replace("28.3", "29.0")
