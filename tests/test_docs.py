"""The documents hold: settings are current, links lead somewhere, command lines parse."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from runpy import run_path

import pytest

from weft.cli.main import VERBS
from weft.errors import WeftError
from weft.recipe.file import keys_at

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHELL = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH_NAME = re.compile(r"`((?:src|tests|recipes|docs|demo)/[\w./-]+\.\w+)`")


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def command_lines(page: Path) -> Iterator[list[str]]:
    """Every `weft ...` of the page's shell blocks, as words, without what it is redirected from and to."""
    for block in SHELL.findall(page.read_text("utf-8")):
        for line in block.replace("\\\n", " ").split("\n"):
            for part in re.split(r"\||&&|;", line):
                if part.strip().startswith("weft "):
                    words = shlex.split(re.split(r"[<>]", part)[0], comments=True)
                    yield words[1:]


def test_every_setting_is_in_the_page() -> None:
    script = run_path(str(ROOT / "docs" / "settings.py"))
    assert script["PAGE"].read_text("utf-8") == script["page"](), "run: python docs/settings.py"


def test_the_script_writes_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    script, page = ROOT / "docs" / "settings.py", ROOT / "docs" / "recipe.md"
    (tmp_path / "docs" / "settings.py").write_bytes(script.read_bytes())
    begin, end = "<!-- settings: written by docs/settings.py -->", "<!-- end of settings -->"
    (tmp_path / "docs" / "recipe.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    subprocess.run([sys.executable, "docs/settings.py"], cwd=tmp_path, check=True, timeout=60)
    written = (tmp_path / "docs" / "recipe.md").read_text("utf-8")
    assert written.startswith(f"before\n{begin}\n")
    assert written.endswith(f"{end}\nafter\n")
    assert written[len("before\n") : -len("after\n")].strip() in page.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [link for link in LINK.findall(text) if not link.startswith(("http://", "https://", "#"))]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []
    assert [name for name in PATH_NAME.findall(text) if "VERB" not in name and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_command_lines_parse(page: Path) -> None:
    for verb, *rest in command_lines(page):
        assert verb in VERBS
        parser = import_module(f"weft.cli.{verb.replace('-', '_')}").parser()
        try:
            options = parser.given(rest)
        except WeftError as error:
            pytest.fail(f"weft {shlex.join([verb, *rest])}: {error}")
        for override in getattr(options, "overrides", []):
            *sections, key = override.partition("=")[0].split(".")
            assert key in keys_at(tuple(sections)), override


def test_there_are_command_lines_to_check() -> None:
    checked = {words[0] for page in PAGES for words in command_lines(page)}
    assert checked == set(VERBS)
