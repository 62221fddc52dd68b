"""Every row of docs/bad-input.md, done: the message is the one printed there, and nothing that was there is lost."""

from __future__ import annotations

import errno
import fcntl
import gzip
import io
import math
import os
import random
import re
import shlex
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet
import pytest
import torch
from encoders import write_bert

import weft
from weft.cli.main import main
from weft.training.train import train

PAGE = Path(__file__).parent.parent / "docs" / "bad-input.md"
STATE = "runs/words/training/state-00000004"
LOCK = ".training"
BEGUN = "a full disk while it trains"  # the only row that leaves a new run behind, which can go on
QUANTISED = struct.pack("<2i12id3i2q?", 793712314, 12, 2, *[0] * 11, 0.0, *[0] * 4, -1, True)  # fastText, no words
RECIPE = """\
name: words
data: {train: pairs.tsv, dev_fraction: 0.2}
vocabulary:
  source: {kind: character, size: 40}
  target: {kind: word, size: 40}
model:
  width: 8
  encoder: {kind: rnn, width: 8}
  decoder: {kind: rnn, width: 8, attention: {width: 8}}
training: {steps: 4, batch_tokens: 128, save_every: 2, threads: 1, device: cpu}
validation: {every: 2, metrics: [line_error_rate], items: 4}
search: {beam: 1, max_extra: 2, max_ratio: 1.0}
"""


IMAGES = """\
name: images
data: {train: captions.tsv, dev_fraction: 0.5}
vocabulary: {target: {kind: word, size: 8}}
model:
  width: 8
  input: {kind: image, height: 4, width: 4, colour: false, channels: [4], pool: [[2, 2]]}
  encoder: {kind: identity}
  decoder: {kind: rnn, width: 8, attention: {width: 8}}
training: {steps: 2, threads: 1, device: cpu}
"""
GAPS = """\
name: gaps
data: {train: {source: null, target: whole.txt}, dev_fraction: 0.5, gaps: {}}
vocabulary: {shared: true, source: {kind: word, size: 12}}
model: {width: 8, encoder: {kind: rnn, width: 8}, decoder: {kind: rnn, width: 8, attention: {width: 8}}}
training: {steps: 1, threads: 1, device: cpu}
validation: {items: 1}
"""
SERIES = ["date,load,wind", *(f"2024-{1 + day // 28:02}-{1 + day % 28:02},{day % 7},{day % 5}" for day in range(60))]
SERIES_RECIPE = """\
name: series
data:
  train: series.csv
  series: {time: date, look_back: 8, horizon: 4, split: [40, 10, 10]}
model:
  input: {kind: values}
  encoder: {kind: none}
  decoder: {kind: direct}
  output: {kind: values}
training: {steps: 4, threads: 1, device: cpu}
"""


class Row(NamedTuple):
    """One row of a table: what is wrong, what is run, what is said."""

    wrong: str
    command: str
    message: str


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text("utf-8").split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and cells[1].startswith("`weft"):
            found.append(Row(cells[0], *(cell.strip("`").strip() for cell in cells[1:])))
    return found


Setup = Callable[[pytest.MonkeyPatch], object]


def holds(name: str, content: str | bytes) -> Setup:
    """Write a file, whatever was there before."""

    def write(_: pytest.MonkeyPatch) -> None:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def each_of(*setups: Setup) -> Setup:
    def prepare(monkeypatch: pytest.MonkeyPatch) -> None:
        for setup in setups:
            setup(monkeypatch)

    return prepare


def recipe_with(old: str, new: str, name: str = "other.yaml") -> Setup:
    """The recipe, one part of it changed, under another name."""
    assert old in RECIPE
    return holds(name, RECIPE.replace("name: words", "name: other").replace(old, new))


def tags_of(lines: str) -> Setup:
    """words.tsv with tagged lines, and tags.yaml that reads them."""

    def write(monkeypatch: pytest.MonkeyPatch) -> None:
        decoder = "decoder: {kind: rnn, width: 8, attention: {width: 8}}"
        recipe_with(decoder, "decoder: {kind: tags}", "tags.yaml")(monkeypatch)
        recipe = Path("tags.yaml")
        recipe.write_text(recipe.read_text().replace("pairs.tsv", "words.tsv"))
        holds("words.tsv", lines)(monkeypatch)

    return write


def labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """labels.yaml, for targets that are sets of labels."""
    decoder = "decoder: {kind: rnn, width: 8, attention: {width: 8}}"
    recipe_with(decoder, "decoder: {kind: labels}", "labels.yaml")(monkeypatch)


def labels_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """runs/labels, with the weights that a first step finds."""
    labels(monkeypatch)
    overrides = ["name=labels", "training.steps=1", "validation.every=1"]
    train("labels.yaml", *overrides, say=lambda line: None)


def gaps(lines: str, trained: bool = False) -> Setup:
    """gaps.yaml, whole.txt, which it takes words out of, and lines.txt; the run too where it is `trained`."""

    def write(monkeypatch: pytest.MonkeyPatch) -> None:
        holds("gaps.yaml", GAPS if trained else GAPS.replace("whole.txt", "lines.txt"))(monkeypatch)
        holds("whole.txt", "a b c\nb c d\n")(monkeypatch)
        holds("lines.txt", lines)(monkeypatch)
        if trained:
            train("gaps.yaml", say=lambda line: None)

    return write


def series(line: int = 0, old: str = "", new: str = "", column: int | None = None) -> Setup:
    """A series and its recipe; a line, from 1, or a whole column is changed."""

    def write(_: pytest.MonkeyPatch) -> None:
        lines = list(SERIES)
        if line:
            assert old in lines[line - 1]
            lines[line - 1] = lines[line - 1].replace(old, new)
        if column is not None:
            rows = [text.split(",") for text in lines[1:]]
            lines[1:] = [",".join([*row[:column], new, *row[column + 1 :]]) for row in rows]
        Path("series.csv").write_text("\n".join(lines) + "\n")
        Path("series.yaml").write_text(SERIES_RECIPE)

    return write


def lacks(name: str) -> Setup:
    return lambda _: Path(name).unlink()


def copied(source: str, target: str) -> Setup:
    return lambda _: shutil.copy(source, target)


def has_folder(name: str) -> Setup:
    return lambda _: Path(name).mkdir()


def image(rows: int = 4, columns: int = 4) -> bytes:
    """A black PNG, or where it is said to be large, the start of one."""
    pixels = zlib.compress(bytes(20))
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def two_images(second: bytes | None, *others: Setup) -> Setup:
    """images.yaml and captions.tsv, one image that can be read, and another with this content, or none."""

    def write(monkeypatch: pytest.MonkeyPatch) -> None:
        holds("images.yaml", IMAGES)(monkeypatch)
        holds("captions.tsv", "images/1.png\tA B\nimages/2.png\tB A\n")(monkeypatch)
        holds("images/1.png", image())(monkeypatch)
        if second is not None:
            holds("images/2.png", second)(monkeypatch)
        for other in others:
            other(monkeypatch)

    return write


def parquet(name: str, **columns: list[Any]) -> Setup:
    return lambda _: pyarrow.parquet.write_table(pyarrow.table(columns), name)


def idx(*sizes: int, lacking: int = 0) -> bytes:
    """An IDX file of zeros."""
    count = math.prod(sizes) - lacking
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + bytes(count)


def unequal(_: pytest.MonkeyPatch) -> None:
    Path("words.txt").write_text("ab\nbc\ncd\n")
    Path("sounds.txt").write_text("A B\nB C\n")


def changed_data(_: pytest.MonkeyPatch) -> None:
    data = Path("pairs.tsv")
    data.write_text(data.read_text().replace("F", "G"))


def begun_before_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """runs/old, whose first line was a pair, as in runs from before first lines were looked at."""
    holds("words.tsv", "en\tde\n" + "a line of text\teine Zeile Text\n" * 3 + "another\tnoch eine\n")(monkeypatch)
    recipe_with("pairs.tsv", "words.tsv")(monkeypatch)
    train("other.yaml", "name=old", "data.columns.header=false", "training.steps=1", say=lambda line: None)
    recipe = Path("runs/old/recipe.yaml")
    recipe.write_text(recipe.read_text().replace("header: false", "header: null"))


def another_width(_: pytest.MonkeyPatch) -> None:
    recipe = Path("runs/words/recipe.yaml")
    recipe.write_text(recipe.read_text().replace("  width: 8\n", "  width: 10\n", 1))


def only_the_model(_: pytest.MonkeyPatch) -> None:
    shutil.rmtree("runs/words/training")
    Path(f"runs/words/{LOCK}").unlink()


def being_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = open(f"runs/words/{LOCK}", "w")  # noqa: SIM115 - held until the test is over
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.write("4711")
    lock.flush()
    monkeypatch.setattr(sys, "held_by_this_test", lock, raising=False)


def full_disk(folder: str) -> Setup:
    """Nothing more can be put below the folder."""

    def fill(monkeypatch: pytest.MonkeyPatch) -> None:
        def refusing(
            real: Callable[[str | Path, str | Path], None],
        ) -> Callable[[str | Path, str | Path], None]:
            def move(source: str | Path, target: str | Path) -> None:
                if Path(target).is_relative_to(folder):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
                real(source, target)

            return move

        monkeypatch.setattr("weft.files.os.replace", refusing(os.replace))
        monkeypatch.setattr("weft.files.os.rename", refusing(os.rename))

    return fill


def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def two_processes(devices: int = 0, **more: str) -> Setup:
    """What torchrun tells one of two processes; the other never comes."""

    def start(monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "here", **more}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("weft.training.distributed.common_store", torch.distributed.HashStore)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(devices))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)

    return start


def nothing(_: pytest.MonkeyPatch) -> None:
    pass


def without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe_with("  source: {kind: character, size: 40}\n", "")(monkeypatch)
    monkeypatch.setitem(sys.modules, "transformers", None)


# What each row needs besides pairs.tsv, recipe.yaml and runs/words. A row that is not here needs nothing.
SETUPS: dict[str, Setup] = {
    "a folder that is no run": has_folder("folder"),
    "a folder where a file belongs": has_folder("folder"),
    "a binary file": holds("words.tsv", b"ab\tA B\n\x00\x01\x02\n"),
    "an image where text is read": lambda _: Path("words.png").write_bytes(image()),
    "Latin-1 text": holds("words.tsv", "café\tK AE F EY\n".encode("latin-1")),
    "UTF-16 text": holds("words.tsv", "ab\tA B\n".encode("utf-16-le").join([b"\xff\xfe", b""])),
    "a .gz that is none": holds("words.tsv.gz", b"ab\tA B\n"),
    "a .gz that was cut off": holds("words.tsv.gz", gzip.compress(b"ab\tA B\n", mtime=0)[:-8]),
    "a Parquet file that is none": holds("words.parquet", b"ab\tA B\n"),
    "a file of another kind": holds("words.txt", "no tab here\n"),
    "a row with too few columns": holds("words.tsv", "ab\tA B\ncd\n"),
    "a row with too many columns": holds("words.csv", "source,target\nab, cd,A B\n"),
    "CSV with an open quote": holds("words.csv", 'ab,"A B\n'),
    "a line break within a CSV cell": holds("words.csv", 'ab,"A\nB"\n'),
    "a line that is not JSON": holds("words.jsonl", '{"source": "ab", "target": "A B"}\n{"source": "cd"\n'),
    "a JSON value that is no string": holds(
        "words.jsonl", '{"source": "ab", "target": "A"}\n{"source": "c", "target": 3}\n'
    ),
    "a conversation whose turn is no string": holds("words.jsonl", '["ab", "A B"]\n["cd", 3]\n'),
    "a line that is no conversation": holds("words.jsonl", '{"source": "ab", "target": "A B"}\n'),
    "a turn that holds what stands between turns": holds("words.jsonl", '["ab <turn> c", "A B"]\n'),
    "conversations that are not asked for": holds("words.jsonl", '{"turns": ["ab", "A B"]}\n'),
    "conversations backward": holds("words.jsonl", '["ab", "A B"]\n'),
    "noise where gaps are": gaps("a b\n"),
    "gaps that no encoder reads": gaps("a b\n"),
    "a line that holds a gap already": gaps("a b\nc <gap> d\n"),
    "a line without a gap": gaps("a <gap>\nc d\n", trained=True),
    "more gaps than a model fills": gaps("a <gap>\n<gap> c <gap>\n", trained=True),
    "a key that is not there": holds("words.jsonl", '{"word": "ab", "target": "A B"}\n'),
    "unequal numbers of lines": unequal,
    "tags and words of unequal count": tags_of("a b\tX Y\nc d\tX\n"),
    "features and words of unequal count": tags_of("a b\tX Y\tN N\nc d\tX X\tN\n"),
    "several labels where one is expected": tags_of("a b\tX Y\nc d\tX\n"),
    "tags in pieces": tags_of(""),
    "noise that parts words from tags": tags_of(""),
    **dict.fromkeys(
        ["noise that parts words from their features", "features backward", "features too wide for the model"],
        recipe_with("vocabulary:\n", "vocabulary:\n  factors: {derived: [shape]}\n", "factors.yaml"),
    ),
    "labels in pieces": labels,
    "an order of labels": labels,
    "labels read off nothing": labels,
    "a window that sees nothing": labels,
    "a first label": labels_learnt,
    "the way between lines that get labels": labels_learnt,
    "an order of predicted labels": labels_learnt,
    "labels beside other outputs": labels_learnt,
    "no pair with two sides": holds("words.tsv", "ab\t\n\tA B\n \t \n"),
    "no line to look through": holds("words.txt", "\n \n"),
    "an empty file": holds("words.tsv", ""),
    "a header and nothing below it": holds("words.tsv", "source\ttarget\n"),
    "an empty development file": holds("words.tsv", ""),
    "a development file of a header": holds("words.tsv", "source\ttarget\n"),
    "answers of a role that nobody has": holds(
        "words.jsonl", '[{"role": "user", "text": "ab"}, {"role": "assistant", "text": "A B"}]\n'
    ),
    "one pair only": holds("other.tsv", "ab\tA B\n"),
    "one source only": holds("other.tsv", "ab\tA B\nab\tA P\n"),
    "standard input that is empty": recipe_with("pairs.tsv", '"-"'),
    "a row of standard input with too few columns": each_of(
        recipe_with("pairs.tsv", '"-"'), holds("words.tsv", "ab\tA B\ncd\n")
    ),
    "text of standard input that is not UTF-8": holds("words.tsv", "café\n".encode("latin-1")),
    "standard input twice": recipe_with("pairs.tsv", '"-", dev: "-"'),
    "an image that is not there": two_images(None),
    "a file that is no image": two_images(b"no image"),
    "an image that was cut off": two_images(image()[:45]),
    "an image of 32 bits": two_images(b"Pf\n4 4\n-1.0\n" + bytes(64)),
    "an image too large to be unpacked": two_images(image(60_000, 60_000)),
    "fewer labels than images": two_images(image(), holds("images.idx", idx(2, 4, 4)), holds("labels.idx", idx(1))),
    "an IDX file that was cut off": two_images(
        image(), holds("images.idx", idx(2, 4, 4, lacking=1)), holds("labels.idx", idx(2))
    ),
    "images in a folder that is not there": two_images(image()),
    "a folder in place of an image": two_images(image(), holds("folder.tsv", "images/1.png\tA\nimages\tB\n")),
    "labels in place of images": two_images(image(), holds("labels.idx", idx(2))),
    "images in place of labels": two_images(image(), holds("images.idx", idx(2, 4, 4))),
    "images of IDX without captions": two_images(image(), holds("images.idx", idx(2, 4, 4))),
    "an IDX file of other numbers": two_images(
        image(), holds("images.idx", b"\0\0\x0d" + idx(2, 4, 4)[3:]), holds("labels.idx", idx(2))
    ),
    **dict.fromkeys(
        ["a column of Parquet that holds no images", "a column of images that is not there"],
        two_images(image(), parquet("words.parquet", number=[1, 2], caption=["A B", "B A"])),
    ),
    "an image of Parquet that is none": two_images(
        image(), parquet("words.parquet", image=[image(), b"no image"], caption=["A B", "B A"])
    ),
    "an image that Parquet names and is not there": two_images(
        image(), parquet("words.parquet", image=["images/1.png", "pictures/3.png"], caption=["A B", "B A"])
    ),
    "text for a model of images": two_images(image()),
    "a grid without positions": two_images(image()),
    "patches that do not divide the image": two_images(image()),
    "noise that images do not have": two_images(image()),
    "a drawn vector beside a squared error": two_images(image()),
    "a width of the vector of pixels": two_images(image()),
    "a vision encoder that is not there": two_images(image()),
    "an encoder of text for images": two_images(image(), lambda _: write_bert(Path("bert"))),
    "a vision encoder beside convolutions": two_images(image()),
    "layers of a vision encoder mixed": two_images(image()),
    "an image without an encoder": two_images(image()),
    "an unknown key": recipe_with("{steps: 4", "{stepz: 4"),
    "a key that is there twice": recipe_with("search:", "training: {steps: 8}\nsearch:"),
    "a value of another type": recipe_with("{steps: 4", "{steps: many"),
    "a value out of bounds": recipe_with("{steps: 4", "{steps: 0"),
    "an unknown kind": recipe_with("encoder: {kind: rnn", "encoder: {kind: rmn"),
    "heads that do not divide the width": recipe_with(
        "encoder: {kind: rnn, width: 8}", "encoder: {kind: transformer, heads: 3}"
    ),
    "shared embeddings without a shared vocabulary": recipe_with(
        "  width: 8\n", "  width: 8\n  embedding: {share: all, dropout: 0.1}\n"
    ),
    "a pretrained encoder that copies": recipe_with("  source: {kind: character, size: 40}\n", ""),
    "a rate of what is not trained": recipe_with("  source: {kind: character, size: 40}\n", ""),
    "a pretrained encoder that is not there": recipe_with("  source: {kind: character, size: 40}\n", ""),
    "a pretrained encoder without transformers": without_transformers,
    "a vocabulary too small for the characters": recipe_with(
        "{kind: character, size: 40}", "{kind: character, size: 8}"
    ),
    "no data": holds("other.yaml", "model: {width: 64}\n"),
    "a recipe that is no YAML": holds("other.yaml", "data: {train: pairs.tsv\n"),
    "standard input without quotes": holds("other.yaml", "data:\n  train: -\n"),
    "a recipe that is no mapping": holds("other.yaml", "pairs.tsv\n"),
    "two processes, and not all that torchrun sets": two_processes(),
    "two processes, and a batch for one": two_processes(MASTER_PORT="1"),
    "two processes on one device": two_processes(devices=1, MASTER_PORT="1"),
    "two processes and one device": two_processes(devices=1, MASTER_PORT="1"),
    "two processes that leave out other layers": two_processes(MASTER_PORT="1"),
    "a device that is not there": no_accelerator,
    "something in the way": holds("runs/other/notes.txt", "mine\n"),
    "a run that is being trained": being_trained,
    "data that changed since the run began": changed_data,
    "a first line that was read otherwise": begun_before_headers,
    "a full disk while data is prepared": full_disk("cache"),
    "a full disk before the first step": full_disk("runs/other"),
    "a full disk while it trains": full_disk("runs/other/checkpoints"),
    "a model that is no run": only_the_model,
    "more to average than is kept": recipe_with("training: {steps: 4,", "training: {average: 9, steps: 4,"),
    "a start without weights": lacks("runs/words/model.safetensors"),
    "a start with a damaged state": holds(f"{STATE}/optimizer.safetensors", b"abc"),
    "vectors of two widths": holds("words.vec", "a 1 2\nb 1 2 3\n"),
    "vectors that were cut off": holds("words.bin", b"1 2\na \x00\x00\x80?\x00\x00"),
    "vectors that are quantised": holds("words.ftz", QUANTISED),
    "vectors of other words": holds("words.vec", "zebra 1 2\n"),
    "vectors too narrow for a matrix of two uses": holds("words.vec", "A 1 2\n"),
    "no weights": lacks("runs/words/model.safetensors"),
    "damaged weights": holds("runs/words/model.safetensors", b"abc"),
    "weights of another recipe": another_width,
    "no vocabulary": lacks("runs/words/source.model"),
    "a damaged shortlist": holds("runs/words/shortlist.npz", b"abc"),
    "a damaged vocabulary": holds("runs/words/source.model", b"abc"),
    "a damaged state": holds(f"{STATE}/progress.json", b"abc"),
    "a state of another shape": holds(f"{STATE}/progress.json", "[]"),
    "a state with a value of another type": holds(f"{STATE}/progress.json", '{"step": "four"}'),
    "a state of another optimiser": copied(f"{STATE}/random.safetensors", f"{STATE}/optimizer.safetensors"),
    "a state without random numbers": copied(f"{STATE}/optimizer.safetensors", f"{STATE}/random.safetensors"),
    "a state with a file missing": lacks(f"{STATE}/random.safetensors"),
    "a damaged checkpoint": holds("runs/words/checkpoints/00000004.safetensors", b"abc"),
    "damaged scores of checkpoints": holds("runs/words/checkpoints/scores.json", "{"),
    "scores of another shape": holds("runs/words/checkpoints/scores.json", "[]"),
    "a device to predict on that is not there": no_accelerator,
    "no log": lacks("runs/words/log.jsonl"),
    "pairs without a tab": holds("words.txt", "ab\n"),
    "one file of two": holds("words.txt", "ab\n"),
    "nothing to score": holds("words.tsv", ""),
    "a cell that is no number": series(5, ",3,", ",many,"),
    "a number that is not finite": series(7, ",5,0", ",5,-inf"),
    "a date that is none": series(3, "2024-01-02", "noon"),
    "dates with and without a time zone": series(9, "2024-01-08", "2024-01-08T00:00Z"),
    "dates that go back": series(9, "2024-01-08", "2024-01-01"),
    "a row of a series with too few cells": series(61, ",3,4", ",3"),
    "a series without names": series(1, "date,load,wind", "1,2,3"),
    "a column of a series that is not there": series(),
    "a constant column": series(new="3", column=2),
    "a column without a value": series(new="", column=2),
    "a column known ahead with a hole": series(20, ",4,3", ",4,"),
    "a horizon longer than the file": series(),
    "a horizon longer than the development part": series(),
    "a split of more rows than there are": series(),
    "a series of another format": series(),
    "a calendar without dates": series(),
    "a series that goes in as tokens": series(),
    "a setting of text for a series": series(),
    "text that is not UTF-8": holds("lines.txt", b"ab\n\xe9\n"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs.tsv, recipe.yaml and the run runs/words."""
    folder = tmp_path_factory.mktemp("finished")
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdef", k=draw.randint(2, 6))) for _ in range(60)]
    (folder / "pairs.tsv").write_text("".join(f"{word}\t{' '.join(word.upper())}\n" for word in words))
    (folder / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WEFT_CACHE", "cache")
        train("recipe.yaml", say=lambda line: None)
    shutil.rmtree(folder / "cache")
    return folder


@pytest.fixture
def place(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("WEFT_CACHE", "cache")
    return copy


def contents(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK and "cache" not in path.parts
    }


def places(folder: Path) -> set[Path]:
    """All that there is, empty folders and locks too."""
    return {path for path in folder.rglob("*") if "cache" not in path.parts}


def given(command: str) -> tuple[list[str], bytes]:
    """The arguments of a command line, and what its standard input holds."""
    words = shlex.split(command)[1:]
    if "<" not in words:
        return words, b""
    at = words.index("<")
    return words[:at], Path(words[at + 1]).read_bytes()


def said(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said of bad input, by the command line or, after `weft.`, by Python."""
    if command.startswith("weft."):
        with pytest.raises(weft.WeftError) as error:
            eval(command, {"weft": weft})
        return str(error.value)
    arguments, stdin = given(command)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
    with pytest.raises(SystemExit) as end:
        main(arguments)
    told = capsys.readouterr()
    assert end.value.code == 2
    assert "Traceback" not in told.err
    return told.err[re.search(r"^weft: ", told.err, re.MULTILINE).start() :].rstrip("\n")


def agrees(message: str, expected: str) -> bool:
    """Whether they are equal; `…` stands for what a library adds at the end."""
    return message.startswith(expected.removesuffix("…")) if expected.endswith("…") else message == expected


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.wrong)
def test_bad_input_is_told_in_one_message(
    row: Row, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    SETUPS.get(row.wrong, nothing)(monkeypatch)
    before, there = contents(place), places(place)
    message = said(row.command, capsys, monkeypatch)
    assert agrees(message, row.message), message
    after = contents(place)
    assert [path for path in before if after.get(path) != before[path]] == []
    assert places(place) == there or row.wrong == BEGUN
    assert [path for path in after if path.name.endswith(".part")] == []


def test_every_setup_belongs_to_a_row() -> None:
    named = [row.wrong for row in rows()]
    assert len(set(named)) == len(named)
    assert SETUPS.keys() <= set(named)
