"""weft VERB ...: finds the verb, and turns a WeftError into one message and its exit code."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TextIO

from weft.errors import BAD_INPUT, WeftError, nearest

VERBS = {
    "train": "train from a file of pairs or a recipe, or go on with a run",
    "predict": "lines in, lines out",
    "back-translate": "make training pairs of text in the target language alone",
    "evaluate": "score a model on pairs it has not seen",
    "look": "pictures: attention, curves",
    "average": "average checkpoints of a run into a new model",
    "shortlist": "learn what may be said to a source, for faster answers",
    "serve": "answer over HTTP",
    "recipe": "check a recipe, or print its JSON Schema",
}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="weft",
        description="Train, look inside, evaluate, ship and serve sequence-to-sequence models from paired data.",
        epilog="weft VERB --help says more about one. Start with: weft train pairs.tsv",
    )
    top.add_argument("--version", action="store_true", help="print the version")
    verbs = top.add_subparsers(dest="verb", metavar="VERB")
    for verb, help_line in VERBS.items():
        verbs.add_parser(verb, help=help_line, add_help=False)
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; exits with 0, with 2 for bad input, with 130 where it was interrupted."""
    if arguments is None:
        spare_collecting()
    given = list(sys.argv[1:] if arguments is None else arguments)
    open_streams()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = told
            code = run(given)
        sys.stdout.flush()
        sys.exit(code)
    except WeftError as error:
        if str(error):  # or another process has told
            print(f"weft: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        where = error.filename or ("standard output" if dropped() else "a file")
        if isinstance(error, BrokenPipeError):
            sys.exit(141)
        print(f"weft: {where}: {error.strerror or error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        print("weft: interrupted", file=sys.stderr)
        sys.exit(130)


def open_streams() -> None:
    """What is said goes nowhere where the process was started with its output closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def dropped() -> bool:
    """Whether standard output takes no more; then what is left for it is dropped, which Python would try once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def spare_collecting() -> None:
    """Garbage is looked for less often, and not at the end: of what importing makes, hardly anything is garbage.

    A third of the time of a short command went into looking through it.
    """
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


def told(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of weft's own in one line; one of a library with the place in its code."""
    own = Path(__file__).parents[1] in Path(filename).parents
    text = f"weft: {message}\n" if own else warnings.formatwarning(message, category, filename, lineno, line)
    print(text, end="", file=file or sys.stderr)


def run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        parser().print_help()
        return 0
    if given[0] == "--version":
        from weft import __version__

        print(f"weft {__version__}")
        return 0
    verb, *rest = given
    if verb not in VERBS:
        raise WeftError(f"there is no verb '{verb}'{nearest(verb, VERBS)} (verbs: {', '.join(VERBS)})")
    module = import_module(f"weft.cli.{verb.replace('-', '_')}")
    options = module.parser().given(rest)
    code: int = module.run(options)
    return code
