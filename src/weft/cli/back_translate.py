"""weft back-translate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from weft.cli.arguments import Arguments
from weft.errors import WeftError, counted
from weft.files import replaced

if TYPE_CHECKING:
    from weft.data.vocabulary import Vocabulary
    from weft.recipe import Recipe
    from weft.tasks.text import Model, Prediction

OTHER_FORMATS = (".csv", ".jsonl", ".parquet", ".gz", ".zst", ".xz")
JUDGED = 1000  # lines that tell whether the model reads their language
MANY = 0.2  # of the source's tokens that are unknown
WORSE = 1.25  # times as many tokens as the other vocabulary needs; in the wrong direction it is twice and more


def parser() -> Arguments:
    verb = Arguments(
        prog="weft back-translate",
        description="Make pairs to train on of text in the target language alone: a model of the reverse direction "
        "writes the source of each line (Sennrich et al. 2016).",
        epilog="weft train pairs.tsv data.direction=backward name=reverse  |  "
        "weft back-translate runs/reverse target.txt.gz -o more.tsv --sample",
    )
    verb.add_argument("model", metavar="RUN", help="a model from target to source, or one that goes both ways")
    verb.add_argument("file", metavar="FILE", help="lines of the target language, also .gz, .zst, .xz; '-' is stdin")
    verb.add_argument("-o", "--out", metavar="PAIRS.tsv", help="source TAB target lines; without it, or as '-', stdout")
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--sample", action="store_true", help="draw each source from the model (Edunov et al. 2018)")
    how.add_argument("--beam", type=int, metavar="N", help="search for the best source (default: as the recipe says)")
    verb.add_argument("--seed", type=int, metavar="N", help="of --sample (default: the recipe's)")
    verb.add_argument("--tag", metavar="TOKEN", help="a word before each source, such as '[BT]' (Caswell et al. 2019)")
    verb.add_argument("--device", default="cpu")
    return verb


def run(options: argparse.Namespace) -> int:
    from weft.data.lines import read_lines
    from weft.tasks.text import load

    tag = checked_tag(options.tag)
    out = checked_place(options.out)
    if options.seed is not None and not options.sample:
        raise WeftError(f"--seed is {options.seed}, but nothing is drawn without --sample")
    model = load(options.model, options.device)
    if not model.has_source:
        raise WeftError(f"{options.model}: a language model; expected a model from the target language to the source's")
    lines = read_lines(options.file)
    first = list(islice(lines, JUDGED))
    if doubt := doubted_name(options.file, model.recipe) or doubted_text(first, model):
        print(f"weft: {options.model} looks like a model of the other direction: {doubt}", file=sys.stderr)
    pairs = Pairs(chain(first, lines))
    with opened(out) as file:
        for source, target in pairs.of(model, **search_options(options)):
            file.write(f"{tag}{source}\t{target}\n")
    print(f"weft: {pairs.told()}{f'; they are in {out}' if out else ''}", file=sys.stderr)
    return 0


def search_options(options: argparse.Namespace) -> dict[str, Any]:
    if options.sample:
        return {"kind": "sample"} | ({} if options.seed is None else {"seed": options.seed})
    return {} if options.beam is None else {"kind": "beam", "beam": options.beam}


def doubted_name(file: str, recipe: Recipe) -> str:
    """What is wrong where the file is called as of the language that the model writes, such as `lines.de.gz`."""
    reads, writes = recipe.source_language, recipe.target_language
    called = Path(file).name.split(".")[1:]
    if recipe.data.direction == "both" or not reads or writes not in called or reads in called:
        return ""
    return f"it reads {reads} and writes {writes}, says its recipe, and {file} is called as {writes}"


def doubted_text(lines: Sequence[str], model: Model) -> str:
    """What is wrong where the lines are rather in the language that the model writes."""
    recipe = model.recipe
    if recipe.data.direction == "both" or recipe.vocabulary.shared or recipe.model.input.kind == "image":
        return ""
    reads, writes = needed(lines, model.source), needed(lines, model.target)
    alike = recipe.vocabulary.source.kind == recipe.vocabulary.target.kind and not recipe.model.has_tokenizer
    more_tokens = alike and sum(reads) > WORSE * sum(writes)
    if not (more_tokens or (share(*reads) > MANY and share(*reads) > 2 * share(*writes))):
        return ""
    of = f"the first {len(lines):,} lines" if len(lines) == JUDGED else "the lines"
    (tokens, unknown), (others, others_unknown) = reads, writes
    return (
        f"the vocabulary that it reads with has {of} in {tokens:,} tokens, {unknown:,} of them unknown, the one that "
        f"it writes with in {others:,}, {others_unknown:,} of them unknown; expected a model that reads these lines"
    )


def needed(lines: Sequence[str], vocabulary: Vocabulary) -> tuple[int, int]:
    """How many tokens the lines are, and how many of them are unknown."""
    found = vocabulary.encode_lines(list(lines))
    return sum(map(len, found)), sum(ids.count(vocabulary.unk) for ids in found)


def share(tokens: int, unknown: int) -> float:
    return unknown / max(1, tokens)


class Pairs:
    """Lines with their synthetic sources, as they come; counts what cannot be a pair, and what was not understood."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = lines
        self.written = self.empty = self.with_tab = self.cut_off = self.tokens = self.unknown = 0

    def of(self, model: Model, **search: Any) -> Iterator[tuple[str, str]]:
        """(source, target) for each line, in order, a block of lines in memory at a time."""
        if model.recipe.data.direction == "both":
            search["direction"] = "backward"
        targets, lines = tee(self.lines)
        predictions: Iterable[Prediction] = model.stream(lines, **search)
        for target, prediction in zip(targets, predictions, strict=True):
            self.tokens += len(prediction.source_tokens)
            self.unknown += prediction.unknown
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
        if share(self.tokens, self.unknown) > MANY:
            percent = f"{100 * share(self.tokens, self.unknown):.0f} %"
            told.append(
                f"{percent} of what was read is unknown to the model: {self.unknown:,} of {self.tokens:,} tokens"
            )
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
    from weft.data.lines import STDIN

    if out is None or out == STDIN:
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
