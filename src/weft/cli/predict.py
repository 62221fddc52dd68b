"""weft predict."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from weft.cli.arguments import Arguments
from weft.errors import WeftError, counted
from weft.files import replaced

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from weft.tasks.text import Model, Prediction


def parser() -> Arguments:
    predict = Arguments(
        prog="weft predict",
        description="One line out for each line in, in order; of a series, the rows that follow, as CSV.",
        epilog="weft predict runs/pairs < lines.txt  |  weft predict runs/pairs lines.txt --jsonl  |  "
        "weft predict runs/load load.csv > forecast.csv",
    )
    predict.add_argument("model", metavar="MODEL", help="a model's folder")
    predict.add_argument("file", nargs="?", default="-", metavar="FILE", help="lines; standard input without it")
    predict.add_argument("--n-best", type=int, default=1, metavar="N", help="so many outputs a line, tab-separated")
    predict.add_argument("--fill", action="store_true", help="the whole line, its gaps filled (models of data.gaps)")
    predict.add_argument("--jsonl", action="store_true", help="scores, tokens and finish_reason, one object a line")
    predict.add_argument("--attention", action="store_true", help="with --jsonl: the attention matrix too")
    predict.add_argument(
        "--vector",
        metavar="FILE",
        help="write only the fixed-length vector of each line, as .npy or .parquet",
    )
    add_model(predict)
    predict.add_argument(
        "--workers", type=int, default=1, metavar="N", help="share the lines out among N processes of one thread each"
    )
    beside = predict.add_argument_group("what each output holds (files with a line for each line; empty: nothing)")
    beside.add_argument("--prefix", metavar="FILE", help="what it begins with")
    beside.add_argument("--must", metavar="FILE", help="phrases that it holds, tab-separated")
    beside.add_argument("--never", metavar="FILE", help="phrases that it does not hold, tab-separated")
    add_search(predict)
    return predict


def add_model(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--with", action="append", default=[], dest="others", metavar="MODEL", help="average with another; repeatable"
    )
    verb.add_argument(
        "--direction", choices=("forward", "backward"), default="forward", help="of a model that goes both ways"
    )
    verb.add_argument("--device", default="cpu")
    add_weights(verb)


def add_weights(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--weights", choices=("float32", "int8"), default="float32", help="int8: faster on a CPU, not quite the same"
    )
    verb.add_argument(
        "--shortlist", action="store_true", help="say only what goes with the source, as `weft shortlist` has learnt it"
    )


def add_search(verb: argparse.ArgumentParser) -> None:
    """An option for each search setting; what is not given is the recipe's."""
    from weft.recipe import Search

    group = verb.add_argument_group("search (default: the recipe's)")
    for name, field in Search.model_fields.items():
        about = (field.description or "").replace("%", "%%")
        group.add_argument(f"--{name.replace('_', '-')}", help=about, **form(field.annotation))


def form(annotation: Any) -> dict[str, Any]:
    """How argparse reads a setting of this type."""
    if get_origin(annotation) is Literal:
        return {"choices": get_args(annotation)}
    if annotation in (int, float):
        return {"type": annotation, "metavar": "N" if annotation is int else "X"}
    return {"metavar": "MODEL"}


def search_options(options: argparse.Namespace) -> dict[str, Any]:
    from weft.recipe import Search

    return {name: getattr(options, name) for name in Search.model_fields if getattr(options, name) is not None}


def loaded(options: argparse.Namespace) -> Model:
    """The model that the command line names, or the ensemble."""
    from weft.tasks.text import load

    folders = [options.model, *options.others] if options.others else options.model
    return load(folders, options.device, options.weights, options.shortlist)


@contextmanager
def predicted(options: argparse.Namespace) -> Iterator[Iterator[Prediction]]:
    """What the model of the command line answers to its lines, in this process or in workers."""
    from weft.data.lines import read_lines

    if options.workers == 1:
        yield loaded(options).stream(
            read_lines(options.file),
            options.n_best,
            options.attention,
            direction=options.direction,
            **held(options),
            **search_options(options),
        )
        return
    if options.device != "cpu":
        raise WeftError(f"--workers is {options.workers}, but --device is '{options.device}'; workers are for the CPU")
    from weft.tasks.workers import Job, Workers

    job = Job(
        [options.model, *options.others],
        options.weights,
        options.n_best,
        options.attention,
        options.direction,
        search_options(options),
        options.shortlist,
    )
    with Workers(options.workers, job) as workers:
        yield workers.stream(read_lines(options.file), **held(options))


def held(options: argparse.Namespace) -> dict[str, Iterable[Any]]:
    """What outputs hold, line by line, of the files that are given."""
    from weft.data.lines import STDIN, read_lines

    if [options.file, options.prefix, options.must, options.never].count(STDIN) > 1:
        raise WeftError(f"standard input ('{STDIN}') can be read only once")
    found: dict[str, Iterable[Any]] = {}
    if options.prefix:
        found["prefix"] = read_lines(options.prefix)
    for name in ("must", "never"):
        if getattr(options, name):
            found[name] = (line.split("\t") for line in read_lines(getattr(options, name)))
    return found


def run(options: argparse.Namespace) -> int:
    from weft.tasks.load import is_series

    if is_series(options.model):
        from weft.cli import series

        series.refuse_others(options, parser(), ("jsonl", "device"))
        return series.predict(options)
    if options.vector:
        return run_vector(options)
    if options.attention and not options.jsonl:
        raise WeftError("--attention has no part in plain lines; add --jsonl, which writes it")
    cut_off = unknown = 0
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    with predicted(options) as predictions:
        for prediction in predictions:
            cut_off += prediction.finish_reason == "length"
            unknown += prediction.unknown > 0
            if options.fill and prediction.filled is None:
                raise WeftError("--fill is for models that fill gaps, which are trained with data.gaps")
            if options.jsonl:
                print(json.dumps(prediction.record(), ensure_ascii=False))
            else:
                print("\t".join(shown(each, options.fill) for each in (prediction, *prediction.alternatives)))
    if cut_off:
        told = counted(cut_off, "output was", "outputs were")
        print(f"weft: {told} cut off at the length cap (--max-ratio, --max-extra)", file=sys.stderr)
    if unknown:
        told = counted(unknown, "line holds", "lines hold")
        print(f"weft: {told} what the model has never seen (unknown_source_tokens)", file=sys.stderr)
    return 0


def shown(prediction: Prediction, fill: bool) -> str:
    """The output, or the line whose gaps it fills."""
    return prediction.filled if fill and prediction.filled is not None else prediction.text


def run_vector(options: argparse.Namespace) -> int:
    """Write a row a line: NumPy's float32 (N,D), or Parquet with the line beside its vector."""
    from weft.cli.evaluate import check_place, writing
    from weft.data.lines import read_lines

    path = Path(options.vector)
    if path.suffix not in (".npy", ".parquet"):
        raise WeftError(f"{path}: vectors go into a file whose name ends in .npy or .parquet")
    unused = {"--jsonl": options.jsonl, "--attention": options.attention, "--shortlist": options.shortlist}
    unused |= {"--n-best": options.n_best != 1, "--workers": options.workers != 1, "--fill": options.fill}
    unused |= held(options)
    unused |= {f"--{name.replace('_', '-')}": True for name in search_options(options) if name != "batch_tokens"}
    if given := [name for name, value in unused.items() if value]:
        raise WeftError(
            f"--vector searches for nothing; --{given[0].removeprefix('--')} has no part in it, leave it out"
        )
    check_place(path, path.parent)
    model = loaded(options)
    lines = list(read_lines(options.file))
    vectors = model.vectors(lines, options.direction, options.batch_tokens or model.recipe.search.batch_tokens)
    with writing(path):
        write_vectors(path, lines, vectors)
    print(f"weft: {counted(len(lines), 'vector')} of width {vectors.shape[1]} in {path}", file=sys.stderr)
    return 0


def write_vectors(path: Path, lines: list[str], vectors: NDArray[np.float32]) -> None:
    import numpy as np

    with replaced(path) as beside:
        if path.suffix == ".npy":
            with open(beside, "wb") as file:
                np.save(file, vectors)
            return
        import pyarrow as pa
        import pyarrow.parquet

        empty = pa.array(np.isnan(vectors).all(1)) if vectors.size else None
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1], mask=empty)
        pyarrow.parquet.write_table(pa.table({"line": lines, "vector": column}), beside)
