"""weft back-translate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from weft.errors import WeftError, counted
from weft.files import replaced

if TYPE_CHECKING:
    from weft.tasks.text import Model, Prediction

OTHER_FORMATS = (".csv", ".jsonl", ".parquet", ".gz", ".zst", ".xz")


def parser() -> argparse.ArgumentParser:
    verb = argparse.ArgumentParser(
        prog="weft back-translate",
        description="Make pairs to train on of text in the target language alone: a model of the reverse direction "
        "writes the source of each line (Sennrich et al. 2016).",
        epilog="weft train pairs.tsv data.direction=backward name=reverse  |  "
        "weft back-translate runs/reverse target.txt.gz -o more.tsv --sample",
    )
    verb.add_argument("model", metavar="RUN", help="a model from target to source, or one that goes both ways")
    verb.add_argument("file", metavar="FILE", help="lines of the target language, also .gz, .zst, .xz; '-' is stdin")
    verb.add_argument("-o", "--out", metavar="PAIRS.tsv", help="source TAB target lines; standard output without it")
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--sample", action="store_true", help="draw each source from the model (Edunov et al. 2018)")
    how.add_argument("--beam", type=int, metavar="N", help="search for the best source (default: as the recipe says)")
    verb.add_argument("--seed", type=int, metavar="N", help="of --sample (default: the recipe's)")
    verb.add_argument("--tag", metavar="TOKEN", help="a word before each source, such as '[BT]' (Caswell et al. 2019)")
    verb.add_argument("--device", default="cpu")
    return verb


def run(options: argparse.Namespace) -> int:
    from weft.data.read import read_lines
    from weft.tasks.text import load

    tag = checked_tag(options.tag)
    out = checked_place(options.out)
    if options.seed is not None and not options.sample:
        raise WeftError(f"--seed is {options.seed}, but nothing is drawn without --sample")
    model = load(options.model, options.device)
    if not model.has_source:
        raise WeftError(f"{options.model}: a language model; expected a model from the target language to the source's")
    pairs = Pairs(read_lines(options.file))
    with opened(out) as file:
        for source, target in pairs.of(model, **search_options(options)):
            file.write(f"{tag}{source}\t{target}\n")
    print(f"weft: {pairs.told()}{f'; they are in {out}' if out else ''}", file=sys.stderr)
    return 0


def search_options(options: argparse.Namespace) -> dict[str, Any]:
    if options.sample:
        return {"kind": "sample", "beam": 1} | ({} if options.seed is None else {"seed": options.seed})
    return {} if options.beam is None else {"kind": "beam", "beam": options.beam}


class Pairs:
    """Lines with their synthetic sources, as they come; counts what cannot be a pair."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = lines
        self.written = self.empty = self.with_tab = self.cut_off = 0

    def of(self, model: Model, **search: Any) -> Iterator[tuple[str, str]]:
        """(source, target) for each line, in order, a block of lines in memory at a time."""
        if model.recipe.data.direction == "both":
            search["direction"] = "backward"
        targets, lines = tee(self.lines)
        predictions: Iterable[Prediction] = model.stream(lines, **search)
        for target, prediction in zip(targets, predictions, strict=True):
            if not (target.strip() and prediction.text.strip()):
                self.empty += 1
            elif "\t" in target or "\t" in prediction.text:
                self.with_tab += 1
            else:
                self.written += 1
                self.cut_off += prediction.finish_reason == "length"
                yield prediction.text, target

    def told(self) -> str:
        """`1,000 pairs; 3 lines left out: 2 with an empty line or output, 1 with a tab`."""
        reasons = [(self.empty, "where the line or its output is empty"), (self.with_tab, "with a tab")]
        left_out = ", ".join(f"{number:,} {reason}" for number, reason in reasons if number)
        told = [counted(self.written, "pair")]
        if left_out:
            told.append(f"{counted(self.empty + self.with_tab, 'line')} left out: {left_out}")
        if self.cut_off:
            told.append(f"{counted(self.cut_off, 'source was', 'sources were')} cut off at the length cap")
        return "; ".join(told)


def checked_tag(tag: str | None) -> str:
    """What stands before each source."""
    if tag is None:
        return ""
    if tag.split() != [tag]:
        raise WeftError(f"--tag is '{tag}'; expected one word, such as '[BT]'")
    return f"{tag} "


def checked_place(out: str | None) -> Path | None:
    from weft.cli.evaluate import check_place

    if out is None:
        return None
    path = Path(out)
    if path.suffix in OTHER_FORMATS:
        raise WeftError(f"{out}: what is written are tab-separated pairs; name it {path.name.partition('.')[0]}.tsv")
    check_place(path, path.parent)
    return path


@contextmanager
def opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name when all of it is there."""
    from weft.cli.evaluate import writing

    if out is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        yield sys.stdout
        return
    with writing(out), replaced(out) as beside, open(beside, "w", encoding="utf-8", newline="\n") as file:
        yield file
