"""Why files have no usable pair, where more can be said of it than how many pairs were read."""

from __future__ import annotations

import json
from itertools import islice

from weft.data.lines import STDIN, read_lines
from weft.data.read import names, suffix_of
from weft.data.turns import conversation
from weft.errors import nearest
from weft.recipe import Columns, Files, Parallel

LOOKED_AT = 1000  # conversations whose roles are told


def lack(files: Files, columns: Columns, read: int) -> str:
    """`it has a header and no lines`, or which roles there are in place of the one asked for; else nothing.

    `read` pairs were found in the files, none of which is usable.
    """
    if isinstance(files, Parallel):
        return ""
    given = [name for name in names(files) if name != STDIN]
    if columns.answers is not None:
        roles = list(dict.fromkeys(role for name in given for role in roles_in(name, columns)))
        if roles and columns.answers not in roles:
            there = ", ".join(roles) + nearest(columns.answers, roles)
            return f"no turn has the role '{columns.answers}' (data.columns.answers); the roles are {there}"
    if not read and any(map(begins, given)):
        return "it has a header and no lines" if len(given) == 1 else "there is a header and no lines"
    return ""


def roles_in(name: str, columns: Columns) -> list[str]:
    found = []
    for number, line in enumerate(islice(filter(None, read_lines(name)), LOOKED_AT), 1):
        for turn in conversation(json.loads(line), columns, f"{name}:{number}"):
            if isinstance(turn, dict) and "role" in turn:
                found.append(str(turn["role"]))
    return found


def begins(name: str) -> bool:
    """Whether a file of a format with a header has a first line."""
    suffix = suffix_of(name)
    if suffix == ".parquet":
        return True
    return suffix in (".tsv", ".csv") and next(read_lines(name), None) is not None
