"""weft evaluate."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from weft.cli.predict import add_search, search_options
from weft.errors import WeftError, counted
from weft.files import write_text

if TYPE_CHECKING:
    from weft.recipe import Columns, Files
    from weft.tasks.evaluate import Evaluation, Item


def parser() -> argparse.ArgumentParser:
    evaluate = argparse.ArgumentParser(
        prog="weft evaluate",
        description="Score a model on pairs that it has not seen: the scores with their signatures, the scores by "
        "length, the worst outputs.",
        epilog="weft evaluate runs/pairs test.tsv  |  weft evaluate runs/pairs --source test.de --target test.en",
    )
    evaluate.add_argument("model", metavar="MODEL", help="a model's folder")
    evaluate.add_argument("files", nargs="*", metavar="FILE", help="pairs; the recipe's data.test without it")
    evaluate.add_argument("--source", metavar="FILE", help="parallel text instead of FILE, with --target")
    evaluate.add_argument("--target", metavar="FILE")
    evaluate.add_argument("--columns-source", metavar="C", help="name, or number from 1 (default: the recipe's)")
    evaluate.add_argument("--columns-target", metavar="C")
    evaluate.add_argument("--metrics", metavar="A,B", help="such as bleu,chrf (default: the recipe's)")
    evaluate.add_argument(
        "--several-references",
        action=argparse.BooleanOptionalAction,
        help="equal sources are one item; its targets are alternatives (default: the recipe's)",
    )
    evaluate.add_argument("--worst", type=int, default=5, metavar="N", help="show so many of the worst outputs")
    evaluate.add_argument("--jsonl", metavar="FILE", help="write source, references, output and score of each item")
    evaluate.add_argument("--picture", metavar="FILE.png", help="draw the score by source length")
    evaluate.add_argument("--device", default="cpu")
    add_search(evaluate)
    return evaluate


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from weft.look.length import draw_length
    from weft.look.report import buckets_of, print_report
    from weft.metrics.score import check_names
    from weft.tasks.evaluate import default_metrics, evaluate
    from weft.tasks.text import load

    model = load(options.model, options.device)
    recipe = model.recipe
    asked = [name.strip() for name in (options.metrics or "").split(",") if name.strip()]
    metrics = asked or default_metrics(recipe)
    check_names(metrics, recipe.target_language)
    if options.worst < 0:
        raise WeftError(f"--worst is {options.worst}; expected 0 or more")
    if options.jsonl:
        check_place(Path(options.jsonl), Path(options.jsonl).parent)
    if options.picture:
        check_picture(Path(options.picture))
    files = chosen_files(options, recipe.data.test)
    several = recipe.validation.several_references if options.several_references is None else options.several_references
    items = read_items(files, chosen_columns(options, recipe.data.columns), several)
    evaluation = evaluate(model, items, metrics, **search_options(options))
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    print_report(evaluation, recipe, options.worst, Console(highlight=False))
    if options.jsonl:
        write_jsonl(evaluation, Path(options.jsonl))
    if options.picture:
        picture = Path(options.picture)
        with writing(picture):
            draw_length(buckets_of(evaluation, recipe), picture)
    return 0


def chosen_files(options: argparse.Namespace, test: Files | None) -> Files:
    """The pairs that the command line names, or the recipe's test pairs."""
    from weft.recipe import Parallel

    if (options.source is None) != (options.target is None):
        raise WeftError("--source and --target belong together: two files, line by line")
    if options.source and options.files:
        raise WeftError(f"expected pairs in {options.files[0]} or in --source and --target, not both")
    if options.source:
        return Parallel(source=options.source, target=options.target)
    if options.files:
        return list(options.files)
    if test is None:
        raise WeftError(
            f"the recipe of {options.model} has no data.test; name the pairs: weft evaluate {options.model} test.tsv"
        )
    return test


def chosen_columns(options: argparse.Namespace, columns: Columns) -> Columns:
    from weft.recipe import Columns

    source, target = (
        default if given is None else int(given) if given.isdecimal() else given
        for given, default in ((options.columns_source, columns.source), (options.columns_target, columns.target))
    )
    return Columns(source=source, target=target)


def read_items(files: Files, columns: Columns, several_references: bool) -> list[Item]:
    """The items of the pairs whose two sides both have text; says how many have not."""
    from weft.data.read import names, read_pairs
    from weft.tasks.evaluate import items

    pairs = list(read_pairs(files, columns))
    usable = [(source, target) for source, target in pairs if source.strip() and target.strip()]
    if len(usable) < len(pairs):
        told = counted(len(pairs) - len(usable), "pair with an empty side is", "pairs with an empty side are")
        print(f"weft: {told} left out", file=sys.stderr)
    if not usable:
        raise WeftError(f"{', '.join(names(files))}: there is no pair to score")
    return items(usable, several_references)


def write_jsonl(evaluation: Evaluation, path: Path) -> None:
    """One object a line for each item; `score` is the model's own, log-probability / length^penalty."""
    lines = []
    for item, prediction in zip(evaluation.items, evaluation.predictions, strict=True):
        record = {
            "source": item.source,
            "references": item.references,
            "output": prediction.text,
            "score": prediction.score,
            "finish_reason": prediction.finish_reason,
        }
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    with writing(path):
        write_text(path, "".join(lines))


def check_place(path: Path, folder: Path) -> None:
    """WeftError where the file cannot be put below the folder, before the work whose result it is to hold."""
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=folder):
            pass


def check_picture(path: Path) -> None:
    """The same for a picture, whose folder is made where there is none."""
    from weft.look.canvas import check_format

    check_format(path)
    check_place(path, next(folder for folder in path.parents if folder.exists()))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A failure to write the file in here is a WeftError that names it."""
    try:
        yield
    except OSError as error:
        raise WeftError(f"{path}: cannot be written: {error.strerror or error}") from None
