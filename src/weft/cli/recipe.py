"""weft recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from weft.cli.arguments import Arguments


def parser() -> Arguments:
    recipe = Arguments(
        prog="weft recipe",
        description="Check recipes, print one with every setting resolved, or print the JSON Schema for an editor.",
        epilog="weft recipe recipe.yaml training.steps=5000  |  weft recipe --schema > weft.schema.json",
    )
    recipe.add_argument("file", nargs="?", metavar="RECIPE")
    recipe.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE")
    recipe.add_argument("--schema", action="store_true")
    return recipe


def run(options: argparse.Namespace) -> int:
    from weft import recipe
    from weft.errors import WeftError

    if options.schema:
        print(recipe.json_schema())
    elif options.file:
        print(recipe.dump(recipe.load(Path(options.file), options.overrides)), end="")
    else:
        raise WeftError("expected a recipe to check, or --schema")
    return 0
