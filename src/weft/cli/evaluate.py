"""weft evaluate."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.cli.arguments import Arguments
from weft.cli.predict import add_model, add_search, loaded, search_options
from weft.errors import WeftError, counted
from weft.files import passes_on, write_text

if TYPE_CHECKING:
    from weft.data.direction import Direction
    from weft.recipe import Columns, Files, Recipe
    from weft.tasks.evaluate import Item
    from weft.tasks.text import Model, Prediction

LABELS_DRAWN = 40


def parser() -> Arguments:
    evaluate = Arguments(
        prog="weft evaluate",
        description="Score a model on pairs that it has not seen: the scores with their signatures, the scores by "
        "length, the worst outputs.",
        epilog="weft evaluate runs/pairs test.tsv  |  weft evaluate runs/pairs --source test.de --target test.en  |  "
        "weft evaluate runs/pairs test.tsv --score",
    )
    evaluate.add_argument("model", metavar="MODEL", help="a model's folder")
    evaluate.add_argument(
        "files", nargs="*", default=[], metavar="FILE", help="pairs; the recipe's data.test without it"
    )
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
    evaluate.add_argument("--confusion", metavar="FILE.png", help="draw which tags and labels are taken for which")
    evaluate.add_argument(
        "--score", action="store_true", help="search for nothing: how probable each given target is, one line a pair"
    )
    add_model(evaluate)
    add_search(evaluate)
    return evaluate


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from weft.look.confusion import draw_confusion
    from weft.look.length import draw_length
    from weft.look.report import buckets_of, length_unit, measured, print_report
    from weft.metrics.labels import confusion, confusion_of_sets
    from weft.metrics.score import check_names
    from weft.tasks.evaluate import default_metrics, evaluate
    from weft.tasks.load import is_series

    if is_series(options.model):
        from weft.cli import series

        series.refuse_others(options, parser(), ("jsonl", "picture", "device"))
        return series.evaluate(options)
    if options.score:
        return run_score(options)
    model = loaded(options)
    recipe = spoken(model.recipe, options.direction)
    if recipe.model.decoder.kind == "pixels":
        return run_reconstruction(options, model)
    if not model.has_source:
        raise WeftError(
            f"{options.model} is a language model, which has nothing to answer; how probable it finds text: "
            f"weft evaluate {options.model} --target text.txt --score"
        )
    asked = [name.strip() for name in (options.metrics or "").split(",") if name.strip()]
    metrics = asked or default_metrics(recipe)
    check_names(metrics, recipe.target_language)
    if options.worst < 0:
        raise WeftError(f"--worst is {options.worst}; expected 0 or more")
    if options.jsonl:
        check_place(Path(options.jsonl), Path(options.jsonl).parent)
    for picture in (options.picture, options.confusion):
        if picture:
            check_picture(Path(picture))
    files = chosen_files(options, recipe.data.test, recipe.data.gaps is None)
    several = recipe.validation.several_references if options.several_references is None else options.several_references
    columns = chosen_columns(options, recipe.data.columns)
    with naming_options(alone=recipe.data.gaps is not None):
        items = read_items(recipe, files, columns, several, options.direction)
    tell_first_lines(options.model, files, columns)
    with naming_images(files, recipe):
        evaluation = evaluate(model, items, metrics, direction=options.direction, **search_options(options))
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    print_report(evaluation, recipe, options.worst, Console(highlight=False))
    if options.jsonl:
        records = (record_of(*each) for each in zip(evaluation.items, evaluation.predictions, strict=True))
        write_jsonl(records, Path(options.jsonl))
    if options.picture:
        picture = Path(options.picture)
        with writing(picture):
            draw_length(buckets_of(evaluation, recipe), picture, measured(recipe), length_unit(recipe))
    if options.confusion:
        picture = Path(options.confusion)
        outputs, references = [str(one) for one in evaluation.predictions], [item.references for item in items]
        taken = confusion_of_sets if recipe.tags == "labels" else confusion
        with writing(picture):
            draw_confusion(*taken(outputs, references, LABELS_DRAWN), picture)
    return 0


def spoken(recipe: Recipe, direction: Direction) -> Recipe:
    """The recipe with the languages of what goes in and comes out in this direction."""
    if direction == "forward":
        return recipe
    languages = {"source_language": recipe.target_language, "target_language": recipe.source_language}
    return recipe.model_copy(update=languages)


@contextmanager
def naming_options(alone: bool) -> Iterator[None]:
    """NoTab in here names the options for parallel text, and for text `alone` where that is enough."""
    from weft.data.read import NoTab

    try:
        yield
    except NoTab as error:
        given = "parallel text is --source FILE --target FILE" + ", and text alone --target FILE" * alone
        raise NoTab(error.name, given) from None


@contextmanager
def naming_images(files: Files, recipe: Recipe) -> Iterator[None]:
    """A WeftError about an image in here says where the files name it."""
    from weft.data.captions import named_at
    from weft.data.images import ImageError

    try:
        yield
    except ImageError as error:
        place = named_at(files, error.image, recipe.data.images)
        raise WeftError(place + re.sub(r"^line \d+: ", "", str(error)) if place else str(error)) from None


def run_reconstruction(options: argparse.Namespace, model: Model) -> int:
    """Print how far the images that an autoencoder gives back are from those that went in."""
    from weft.data.captions import pairs_for
    from weft.tasks.reconstruction import reconstructed, squared_error

    unused = {"--metrics": options.metrics, "--picture": options.picture, "--confusion": options.confusion}
    unused |= {"--jsonl": options.jsonl, "--several-references": options.several_references}
    unused |= {"--with": options.others or None}
    unused |= {f"--{name.replace('_', '-')}": value for name, value in search_options(options).items()}
    if given := [name for name, value in unused.items() if value is not None]:
        raise WeftError(f"an autoencoder of images has one measure and nothing to search; {given[0]} has no part in it")
    files = chosen_files(options, model.recipe.data.test)
    columns = chosen_columns(options, model.recipe.data.columns)
    with naming_options(alone=False):
        images = [name for name, _ in pairs_for(model.recipe, files, columns) if name]
    if not images:
        raise nothing_to_score(files, "image")
    with naming_images(files, model.recipe):
        error = squared_error(*reconstructed(model, images))
    print(f"squared error {error:.5f} of values from 0 to 1\n{counted(len(images), 'image')}")
    return 0


def run_score(options: argparse.Namespace) -> int:
    """Print log-probability, perplexity, log-probability of each token, source and target, a line a pair."""
    from weft.data.captions import pairs_for
    from weft.tasks.scored import perplexity

    unused = {"--metrics": options.metrics, "--picture": options.picture, "--confusion": options.confusion}
    unused |= {"--several-references": options.several_references}
    unused |= {f"--{name.replace('_', '-')}": value for name, value in search_options(options).items()}
    if given := [name for name, value in unused.items() if value is not None and name != "--batch-tokens"]:
        raise WeftError(f"--score takes the targets as they are and searches for nothing; {given[0]} has no part in it")
    model = loaded(options)
    if options.jsonl:
        check_place(Path(options.jsonl), Path(options.jsonl).parent)
    has_source = model.has_source and not model.recipe.data.gaps
    files = chosen_files(options, model.recipe.data.test, has_source)
    columns = chosen_columns(options, model.recipe.data.columns)
    with naming_options(alone=not has_source):
        pairs = directed_pairs(pairs_for(model.recipe, files, columns), options.direction)
    if not pairs:
        raise nothing_to_score(files, "pair")
    tell_first_lines(options.model, files, columns)
    with naming_images(files, model.recipe):
        scored = model.score(pairs, options.direction, options.batch_tokens or model.recipe.search.batch_tokens)
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    records = []
    for (source, target), one in zip(pairs, scored, strict=True):
        tokens = " ".join(f"{score:.4f}" for score in one.token_scores)
        print(f"{one.log_probability:.4f}\t{one.perplexity:.4f}\t{tokens}\t{source}\t{target}")
        records.append({"source": source, "target": target, **one.record()})
    if options.jsonl:
        write_jsonl(records, Path(options.jsonl))
    length = sum(len(one.token_scores) for one in scored)
    mean = perplexity(sum(one.log_probability for one in scored), length)
    told = f"{counted(len(pairs), 'pair')}, {counted(length, 'token')} with their ends: perplexity {mean:.4f}"
    print(f"weft: {told}", file=sys.stderr)
    return 0


def chosen_files(options: argparse.Namespace, test: Files | None, has_source: bool = True) -> Files:
    """The pairs that the command line names, or the recipe's test pairs; lines alone where models make do with them."""
    from weft.recipe import Parallel

    if options.target and options.files:
        given = "--source and --target" if options.source else "--target"
        raise WeftError(f"expected pairs in {options.files[0]} or in {given}, not both")
    if options.target and not options.source and not has_source:
        return Parallel(source=None, target=options.target)
    if (options.source is None) != (options.target is None):
        raise WeftError("--source and --target belong together: two files, line by line")
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
    if columns.turns and options.columns_target:
        raise WeftError("--columns-target has no part in conversations, whose two sides come from one list")
    source, target = (
        default if given is None else int(given) if given.isdecimal() else given
        for given, default in ((options.columns_source, columns.source), (options.columns_target, columns.target))
    )
    return columns.model_copy(update={"source": source, "target": target})


def nothing_to_score(files: Files, what: str) -> WeftError:
    from weft.data.lines import called
    from weft.data.read import names

    return WeftError(f"{', '.join(map(called, names(files)))}: there is no {what} to score")


def tell_first_lines(model: str, files: Files, columns: Columns) -> None:
    """What the first lines of files are taken for, on standard error, and where that can be said."""
    from weft.data.first_line import first_lines
    from weft.models.directory import RECIPE

    for line in first_lines([files], columns, str(Path(model) / RECIPE)):
        print(f"weft: {line}", file=sys.stderr)


def read_items(
    recipe: Recipe, files: Files, columns: Columns, several_references: bool, direction: Direction = "forward"
) -> list[Item]:
    """The items of the pairs whose two sides both have text, or of labels the first; says how many have not."""
    from weft.data.captions import pairs_for
    from weft.tasks.evaluate import items

    pairs = directed_pairs(pairs_for(recipe, files, columns), direction)
    of_labels = recipe.tags == "labels"
    usable = [(source, target) for source, target in pairs if source.strip() and (of_labels or target.strip())]
    if len(usable) < len(pairs):
        told = counted(len(pairs) - len(usable), "pair with an empty side is", "pairs with an empty side are")
        print(f"weft: {told} left out", file=sys.stderr)
    if not usable:
        raise nothing_to_score(files, "pair")
    return items(usable, several_references)


def directed_pairs(pairs: Iterable[tuple[str, str]], direction: Direction) -> list[tuple[str, str]]:
    """What goes in before what is to come out: backward, the target side of the files goes in."""
    return [pair[::-1] for pair in pairs] if direction == "backward" else list(pairs)


def record_of(item: Item, prediction: Prediction) -> dict[str, Any]:
    """What `--jsonl` writes of an item; `score` is the model's own, log-probability / length^penalty."""
    return {
        "source": item.source,
        "references": item.references,
        "output": prediction.text,
        "score": prediction.score,
        "finish_reason": prediction.finish_reason,
    }


def write_jsonl(records: Iterable[dict[str, Any]], path: Path) -> None:
    """One object a line."""
    with writing(path):
        write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def check_place(path: Path, folder: Path) -> None:
    """WeftError where the file cannot be put below the folder, before the work whose result it is to hold."""
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if passes_on(path):
            return
        with tempfile.TemporaryFile(dir=folder):
            pass


def check_picture(path: Path) -> None:
    """The same for a picture, whose folder is made where there is none; and WeftError without matplotlib."""
    from weft.look.canvas import check_format, figure_class

    check_format(path)
    figure_class()
    check_place(path, next(folder for folder in path.parents if folder.exists()))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A failure to write the file in here is a WeftError that names it."""
    try:
        yield
    except OSError as error:
        raise WeftError(f"{path}: cannot be written: {error.strerror or error}") from None
