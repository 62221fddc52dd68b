"""Write the code that the pages quote from the source: python docs/mechanisms/quote.py

A page says what stands in the block under a marker: a file and a name in it, and, where not all of it is wanted, how
the statement begins that is.

    <!-- code: src/weft/nn/scores/dot.py Score.forward -->
    <!-- code: src/weft/models/rnn.py RecurrentDecoder.advance "if self.asks_first" -->
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MARKER = re.compile(
    r'^(<!-- code: (\S+) ([\w.]+)(?: "([^"]+)")? -->)\n(?:```python\n.*?^```\n)?', re.MULTILINE | re.DOTALL
)


def current(page: str) -> str:
    """The text of a page with its quotes as the source is now; LookupError where the source has no such thing."""
    return MARKER.sub(lambda found: f"{found[1]}\n```python\n{quoted(*found.group(2, 3, 4))}\n```\n", page)


def quoted(file: str, name: str, start: str | None) -> str:
    """The lines of a class, a function or a constant, or of the first statement in it that starts so."""
    text = (ROOT / file).read_text("utf-8")
    lines = text.split("\n")
    node: ast.AST | None = ast.parse(text)
    for part in name.split("."):
        node = next((below for below in statements(node) if part in names(below)), None)
    if node is not None and start is not None:
        node = next((below for below in statements(node) if lines[below.lineno - 1].strip().startswith(start)), None)
    if not isinstance(node, ast.stmt):
        raise LookupError(f"{file}: no {name}{f' with a statement {start}' if start else ''}")
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return dedent("\n".join(lines[first - 1 : node.end_lineno]))


def statements(node: ast.AST | None) -> Iterator[ast.stmt]:
    """Those inside a node, in the order of the lines."""
    for below in ast.iter_child_nodes(node) if node is not None else ():
        if isinstance(below, ast.stmt):
            yield below
        yield from statements(below)


def names(statement: ast.stmt) -> list[str]:
    """What a statement defines."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


if __name__ == "__main__":
    for page in sorted(HERE.glob("*.md")):
        page.write_text(current(page.read_text("utf-8")), "utf-8")
