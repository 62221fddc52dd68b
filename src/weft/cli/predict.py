"""weft predict."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


def parser() -> argparse.ArgumentParser:
    predict = argparse.ArgumentParser(
        prog="weft predict",
        description="One line out for each line in, in order.",
        epilog="weft predict runs/pairs < lines.txt  |  weft predict runs/pairs lines.txt --jsonl",
    )
    predict.add_argument("model", metavar="MODEL", help="a model's folder")
    predict.add_argument("file", nargs="?", default="-", metavar="FILE", help="lines; standard input without it")
    predict.add_argument("--n-best", type=int, default=1, metavar="N", help="so many outputs a line, tab-separated")
    predict.add_argument("--jsonl", action="store_true", help="scores, tokens and finish_reason, one object a line")
    predict.add_argument("--attention", action="store_true", help="with --jsonl: the attention matrix too")
    predict.add_argument("--device", default="cpu")
    add_search(predict)
    return predict


def add_search(verb: argparse.ArgumentParser) -> None:
    """Search settings; what is not given is the recipe's."""
    group = verb.add_argument_group("search (default: the recipe's)")
    group.add_argument("--beam", type=int, metavar="K", help="1 is greedy")
    group.add_argument("--length-penalty", type=float, metavar="A", help="score is sum of log p / length^A")
    group.add_argument("--max-ratio", type=float, metavar="R", help="length cap: R * source length + extra")
    group.add_argument("--max-extra", type=int, metavar="N")
    group.add_argument("--min-length", type=int, metavar="N")
    group.add_argument("--no-repeat-ngram", type=int, metavar="N", help="no run of N tokens twice; 0 is off")
    group.add_argument("--batch-tokens", type=int, metavar="N")


def search_options(options: argparse.Namespace) -> dict[str, Any]:
    names = ("beam", "length_penalty", "max_ratio", "max_extra", "min_length", "no_repeat_ngram", "batch_tokens")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def run(options: argparse.Namespace) -> int:
    from weft.data.read import read_lines
    from weft.errors import counted
    from weft.tasks.text import load

    model = load(options.model, options.device)
    cut_off = unknown = 0
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    for prediction in model.stream(
        read_lines(options.file), options.n_best, options.attention, **search_options(options)
    ):
        cut_off += prediction.finish_reason == "length"
        unknown += prediction.unknown > 0
        if options.jsonl:
            print(json.dumps(prediction.record(), ensure_ascii=False))
        else:
            print("\t".join(str(each) for each in (prediction, *prediction.alternatives)))
    if cut_off:
        told = counted(cut_off, "output was", "outputs were")
        print(f"weft: {told} cut off at the length cap (--max-ratio, --max-extra)", file=sys.stderr)
    if unknown:
        told = counted(unknown, "line holds", "lines hold")
        print(f"weft: {told} what the model has never seen (unknown_source_tokens)", file=sys.stderr)
    return 0
