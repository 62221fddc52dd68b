"""weft train."""

from __future__ import annotations

import argparse

from weft.cli.arguments import Arguments


def parser() -> Arguments:
    train = Arguments(
        prog="weft train",
        description="Train from a file of pairs (sizes are chosen from the data and said), from a recipe, or go on "
        "with a run that exists.",
        epilog="weft train pairs.tsv  |  weft train recipe.yaml training.steps=5000  |  weft train runs/pairs",
    )
    train.add_argument("what", metavar="PAIRS|RECIPE|RUN", help="pairs.tsv, recipe.yaml or a run's folder")
    train.add_argument(
        "overrides", nargs="*", default=[], metavar="KEY=VALUE", help="settings, such as training.seed=3"
    )
    return train


def run(options: argparse.Namespace) -> int:
    from weft.training.train import train

    train(options.what, *options.overrides)
    return 0
