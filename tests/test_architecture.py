"""The direction of imports, and what must not be imported early."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import weft

SOURCE = Path(weft.__file__).parent
ALONE = {"errors", "files", "recipe"}  # may be imported by all, and import none of the folders
MAY_IMPORT = {
    "recipe": {"recipe"},
    "data": {"data"},
    "nn": {"nn", "data"},
    "models": {"models", "nn", "data"},
    "search": {"search", "models", "data"},
    "metrics": {"metrics"},
    "tasks": {"tasks", "search", "models", "data", "metrics"},
    "look": {"look", "tasks", "metrics", "data"},
    "training": {"training", "tasks", "models", "nn", "data", "metrics"},
    "serve": {"serve", "tasks"},
    "cli": {"cli", "training", "tasks", "look", "serve", "metrics", "data", "models"},
}
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "weft"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    folder = path.relative_to(SOURCE).parts[0]
    for name in imports(path):
        parts = name.split(".")
        if len(parts) < 2 or parts[1] in ALONE - {folder} or not (SOURCE / parts[1]).is_dir():
            continue
        assert folder in MAY_IMPORT or folder.startswith("__"), f"{path.name} imports {name}"
        if folder in MAY_IMPORT:
            assert parts[1] in MAY_IMPORT[folder], f"{folder} may not import {name}"


def test_search_knows_of_models_only_their_contract() -> None:
    for path in (SOURCE / "search").glob("*.py"):
        for name in imports(path):
            assert not name.startswith("weft.models.") or name.startswith("weft.models.base")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_is_one_noun(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 420


def loaded_by(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("from weft.cli.main import run\nrun(['--help'])")
    assert not loaded & {"torch", "numpy", "pydantic", "rich", "yaml", "sentencepiece", "pyarrow"}


def test_predicting_loads_no_training_code() -> None:
    loaded = loaded_by("import weft\nweft.load")
    assert not {name for name in loaded if name.startswith("weft.training")}
    assert not loaded & {"matplotlib", "sacrebleu", "starlette", "tensorboard", "transformers"}
