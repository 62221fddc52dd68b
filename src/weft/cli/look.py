"""weft look."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from weft.cli.arguments import Arguments
from weft.cli.evaluate import check_picture, naming_images, read_items, tell_first_lines, writing
from weft.cli.predict import add_search, search_options
from weft.errors import WeftError
from weft.recipe import Search

if TYPE_CHECKING:
    from rich.console import Console

    from weft.look.attention import Example, Weights
    from weft.look.overlay import Overlay
    from weft.tasks.text import Model, Prediction

BETWEEN = 9  # vectors, with both ends
ROW = 10  # images beside each other
SEARCH = frozenset(Search.model_fields)
TAKES = {
    "curves": {"out"},
    "attention": {"out", "device", *SEARCH},
    "forecast": {"out", "device", "column"},
    "length": {"out", "device", *SEARCH},
    "nearest": {"device", "among", "count"},
    "reconstruct": {"out", "device", "noise"},
    "between": {"out", "device", *SEARCH},
    "prior": {"out", "device", *SEARCH},
}  # which options go with what is looked at
NONE = "(none)"
LOG = "log.jsonl"
END = "∎"  # one column wide, where `</s>` would widen all


def parser() -> Arguments:
    look = Arguments(
        prog="weft look",
        description="Pictures of a run or of what its model does: PNG, SVG or PDF by the name of the file.",
        epilog="weft look runs/pairs --curves  |  weft look runs/pairs --attention 'a line' --out attention.png  |  "
        "weft look runs/pairs --length test.tsv",
    )
    look.add_argument("model", metavar="RUN|MODEL", help="the folder of a run or model")
    which = look.add_mutually_exclusive_group()
    which.add_argument(
        "--curves", nargs="?", const="", metavar="FILE.png", help="loss and scores over the steps (RUN/curves.png)"
    )
    which.add_argument(
        "--attention", action="append", metavar="LINE", help="what each output looked at, in the terminal; repeatable"
    )
    which.add_argument(
        "--forecast", nargs="?", const="", metavar="FILE", help="forecasts of a series: its test part, or FILE"
    )
    which.add_argument("--length", metavar="FILE", help="score by source length of the pairs in a file")
    which.add_argument(
        "--nearest",
        action="append",
        metavar="LINE",
        help="which lines --among a file have the vectors most like its",
    )
    which.add_argument(
        "--reconstruct",
        nargs="+",
        metavar="IMAGE",
        help="images, and what an autoencoder makes of them",
    )
    which.add_argument(
        "--between",
        nargs=2,
        metavar=("ONE", "OTHER"),
        help="what an autoencoder makes of vectors on the way from one line or image to another",
    )
    which.add_argument("--prior", type=int, metavar="N", help="what a variational one makes of vectors from N(0,1)")
    look.add_argument("--noise", action="store_true", help="with --reconstruct: put the recipe's noise on the images")
    look.add_argument("--among", metavar="FILE", help="the lines, or images, that --nearest looks through")
    look.add_argument("--count", type=int, default=5, metavar="N", help="how many of the nearest")
    look.add_argument(
        "--out", metavar="FILE.png", help="where it is drawn (MODEL/length.png, images.png, forecast.png)"
    )
    look.add_argument(
        "--column", action="append", metavar="NAME", help="what --forecast draws (the last column); repeatable"
    )
    look.add_argument("--device", default="cpu")
    add_search(look)
    return look


def refuse_idle(options: argparse.Namespace) -> None:
    """WeftError for an option that has no part in what is looked at."""
    looked = next((name for name in TAKES if getattr(options, name) is not None), None)
    if looked is None:
        raise WeftError("expected what to look at: --curves, --attention 'a line', --length pairs.tsv or --forecast")
    for action in parser()._actions:
        name = action.dest
        if name in {*TAKES, *TAKES[looked]} or getattr(options, name, action.default) == action.default:
            continue
        if takers := [f"--{other}" for other, taken in TAKES.items() if name in taken]:
            raise WeftError(
                f"{action.option_strings[0]} has no part in --{looked}, leave it out; it goes with {', '.join(takers)}"
            )
    if options.curves and options.out:
        raise WeftError(f"--curves is {options.curves} and --out is {options.out}; expected one place for the picture")


def run(options: argparse.Namespace) -> int:
    refuse_idle(options)
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    if options.curves is not None:
        curves(options)
    elif options.attention:
        attention(options)
    elif options.length is not None:
        length(options)
    elif options.nearest is not None:
        nearest(options)
    elif options.forecast is not None:
        forecast(options)
    else:
        vectors(options)
    return 0


def forecast(options: argparse.Namespace) -> None:
    from weft.cli import series
    from weft.models.directory import models_in
    from weft.tasks.load import is_series

    if not is_series(options.model):
        found = models_in(Path(options.model))
        raise WeftError(f"{options.model} is no model of series, so there is no forecast to draw{found}")
    series.refuse_others(options, parser(), ("forecast", "column", "out", "device"))
    series.look(options)


def curves(options: argparse.Namespace) -> None:
    from weft.look.curves import draw_curves, read_log

    folder = Path(options.model)
    if not folder.is_dir():
        raise WeftError(f"{folder}: no such run")
    if not (folder / LOG).is_file():
        from weft.models.directory import models_in

        if found := models_in(folder):
            raise WeftError(f"{folder}: not a run: it has no {LOG}{found}")
    drawn = Path(options.curves or options.out or folder / "curves.png")
    log = read_log(folder / LOG)
    with writing(drawn):
        draw_curves(log, drawn)
    print(drawn)


def attention(options: argparse.Namespace) -> None:
    from rich.console import Console

    from weft.data.factors import words_of
    from weft.look.attention import draw_grid
    from weft.tasks.text import load

    if options.out:
        check_picture(Path(options.out))
    model = load(options.model, options.device)
    predictions = model.predict(options.attention, attention=True, **search_options(options))
    of_words = model.recipe.vocabulary.of_words
    if model.recipe.model.input.kind == "image":
        over_images(options, model, predictions, of_words[1])
        return
    lines = [words_of(line) if model.recipe.factors else line for line in options.attention]
    ended = model.recipe.tags is None
    examples = [example_of(line, found, of_words, ended) for line, found in zip(lines, predictions, strict=True)]
    console = Console(highlight=False)
    for example, prediction in zip(examples, predictions, strict=True):
        console.print(f"{example.title} → {prediction}\n", markup=False, emoji=False, soft_wrap=True)
        print_matrix(example, console)
    if options.out:
        drawn = Path(options.out)
        with writing(drawn):
            draw_grid(examples, drawn)
        print(drawn)


def over_images(options: argparse.Namespace, model: Model, predictions: list[Prediction], words: bool) -> None:
    """Captions in the terminal; the images with what each word looked at in the picture."""
    from weft.look.overlay import draw_overlays

    overlays = [
        overlay_of(model, name, found, words) for name, found in zip(options.attention, predictions, strict=True)
    ]
    for name, prediction in zip(options.attention, predictions, strict=True):
        print(f"{name} → {prediction}")
    if options.out:
        drawn = Path(options.out)
        with writing(drawn):
            draw_overlays(overlays, drawn)
        print(drawn)
    else:
        print("--out FILE.png draws what each word looked at")


def overlay_of(model: Model, name: str, prediction: Prediction, words: bool) -> Overlay:
    from weft.look.overlay import Overlay
    from weft.tasks.source import ImageSource

    assert isinstance(model.reads, ImageSource)
    weights, tokens = attended(name, prediction, words)
    weights = weights[: len(tokens)].reshape(-1, *model.reads.settings.grid)
    return Overlay(model.reads.reader.read(name), weights, tokens, f"{name} → {prediction}")


def example_of(line: str, prediction: Prediction, of_words: tuple[bool, bool], ended: bool = True) -> Example:
    """The attention of a prediction with its pieces; the mark of a space is left out on a side that is `of_words`.

    Outputs that are not `ended` are tags or labels, whose end is none of them; where no label is there, it stands for
    all, which are read off the same.
    """
    from weft.look.attention import Example

    weights, tokens = attended(line, prediction, of_words[1])
    rows = [*tokens, END] if ended else tokens or [NONE]
    weights = weights[: len(rows)]
    return Example(weights, [*unmarked(prediction.source_tokens, of_words[0]), END], rows[: len(weights)], line)


def attended(line: str, prediction: Prediction, words: bool) -> tuple[Weights, list[str]]:
    """The weights of the tokens and of the end, and the tokens."""
    if prediction.attention is None:
        why = "an empty line has no output" if prediction.finish_reason == "empty" else "this model does not attend"
        raise WeftError(f"there is no attention to show for {line!r}: {why}")
    return prediction.attention.numpy(), unmarked(prediction.tokens, words)


def unmarked(tokens: list[str], words: bool) -> list[str]:
    """Without the mark of a space before each, which says nothing where all are words."""
    from weft.data.vocabulary import SPACE

    return [token.removeprefix(SPACE) for token in tokens] if words else tokens


def print_matrix(example: Example, console: Console) -> None:
    """The matrix in the terminal, where it is wide enough."""
    from rich.cells import cell_len

    from weft.look.attention import in_terminal

    plain = in_terminal(example.weights, example.source_pieces, example.target_pieces, colour=False)
    width = max(map(cell_len, plain.split("\n")))
    if console.is_terminal and width > console.width:
        print(f"(too wide for this terminal of {console.width} columns, it has {width}: --out FILE.png draws it)")
    elif console.is_terminal and not console.no_color:
        print(in_terminal(example.weights, example.source_pieces, example.target_pieces))
    else:
        print(plain)
    print()


def length(options: argparse.Namespace) -> None:
    from weft.look.length import draw_length
    from weft.look.report import buckets_of, length_unit, measured
    from weft.metrics.score import check_names
    from weft.tasks.evaluate import default_metrics, evaluate
    from weft.tasks.text import load

    model = load(options.model, options.device)
    recipe = model.recipe
    metrics = default_metrics(recipe)
    if not metrics:
        raise WeftError(f"{options.model} answers no lines, so there is no score to draw by length")
    metric = metrics[0]
    check_names([metric], recipe.target_language)
    drawn = Path(options.out or Path(options.model) / "length.png")
    check_picture(drawn)
    items = read_items(recipe, options.length, recipe.data.columns, recipe.validation.several_references)
    tell_first_lines(options.model, options.length, recipe.data.columns)
    with naming_images(options.length, recipe):
        evaluation = evaluate(model, items, [metric], **search_options(options))
    with writing(drawn):
        draw_length(buckets_of(evaluation, recipe), drawn, measured(recipe), length_unit(recipe))
    print(drawn)


def nearest(options: argparse.Namespace) -> None:
    """For each line the lines of a file whose vectors point most the same way, with the cosine between them."""
    import numpy as np

    from weft.data.lines import called, read_lines
    from weft.tasks.text import load

    if not options.among:
        raise WeftError("--nearest needs --among FILE, the lines to look through")
    if options.count < 1:
        raise WeftError(f"--count is {options.count}; expected 1 or more")
    model = load(options.model, options.device)
    others = [line for line in read_lines(options.among) if line.strip()]
    if not others:
        raise WeftError(f"{called(options.among)}: no line to look through")
    vectors = model.vectors([*others, *options.nearest])
    for line, vector in zip(options.nearest, vectors[len(others) :], strict=True):
        if np.isnan(vector).any():
            raise WeftError(f"--nearest is {line!r}, an empty line, which has no vector")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = vectors[len(others) :] @ vectors[: len(others)].T
    for line, of_line in zip(options.nearest, alike, strict=True):
        print(line)
        for place in np.argsort(-of_line, kind="stable")[: options.count]:
            print(f"  {of_line[place]:.3f}  {others[place]}")


def vectors(options: argparse.Namespace) -> None:
    """What comes back of inputs, of vectors between two, or of vectors that are drawn: a picture, or lines."""
    from weft.tasks.reconstruction import network_of
    from weft.tasks.text import load

    model = load(options.model, options.device)
    if model.recipe.model.decoder.kind == "pixels" or options.reconstruct:
        network_of(model)
        images(options, model)
    else:
        lines(options, model)


def images(options: argparse.Namespace, model: Model) -> None:
    from weft.look.grid import draw_rows
    from weft.tasks.reconstruction import decoded, denoised, reconstructed
    from weft.tasks.vectors import between, prior

    idle = [name for name in search_options(options) if name != "seed" or options.prior is None]
    if idle:
        raise WeftError(
            f"--{idle[0].replace('_', '-')} has no part in images, which nothing is searched for; leave it out"
        )
    drawn = Path(options.out or Path(options.model) / "images.png")
    check_picture(drawn)
    if options.between:
        one, other = options.between
        rows = {f"from {one} to {other}": decoded(model, between(model, one, other, BETWEEN))}
    elif options.prior is not None:
        found = decoded(model, prior(model, options.prior, seed_of(options, model)))
        parts = [found[start : start + ROW] for start in range(0, len(found), ROW)]
        rows = {f"from N(0,1), {ROW * row + 1} to {ROW * row + len(part)}": part for row, part in enumerate(parts)}
    elif options.noise:
        rows = dict(zip(("clean", "in", "out"), denoised(model, options.reconstruct), strict=True))
    else:
        rows = dict(zip(("in", "out"), reconstructed(model, options.reconstruct), strict=True))
    with writing(drawn):
        draw_rows(rows, drawn)
    print(drawn)


def lines(options: argparse.Namespace, model: Model) -> None:
    """One line for each vector; between two lines, with how much of the way is behind it."""
    from weft.tasks.strategy import changed, draws
    from weft.tasks.vectors import between, positions, prior, said

    if options.out:
        raise WeftError(f"--out is {options.out}, but this model makes lines, which are printed; leave it out")
    search = search_options(options)
    if options.prior is not None:
        drawn = prior(model, options.prior, seed_of(options, model))
        settings = changed(model.recipe.search, {name: value for name, value in search.items() if name != "seed"})
        if not draws(settings):
            search.pop("seed", None)  # which is that of the vectors alone
        for prediction in said(model, drawn, model.recipe.data.max_length, **search):
            print(prediction)
        return
    one, other = options.between
    length = max(positions(model, one), positions(model, other))
    found = said(model, between(model, one, other, BETWEEN), length, **search)
    for number, prediction in enumerate(found):
        print(f"{number / (BETWEEN - 1):.3f}  {prediction}")


def seed_of(options: argparse.Namespace, model: Model) -> int:
    """Of what is drawn from N(0,1): the one that samples of the search have."""
    seed: int = model.recipe.search.seed if options.seed is None else options.seed
    return seed
