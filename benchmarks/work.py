"""What all engines get: the same tokens, batches, shapes and weights, as files that need no weft to be read.

<folder>/work.json                shapes and settings
         train.source, .target    ids of each training pair, separated by spaces, without begin and end
         test.source              likewise, of what is to be decoded
         lines.txt                the same as text
         batches.json             the rows of each batch of the first epoch
         weights.npz              what the Transformer has learnt, by weft's names, without an output bias
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import weft
import weft.recipe
from benchmarks import synthetic
from weft.data.corpus import Prepared, prepare
from weft.data.examples import Examples
from weft.data.lines import read_lines
from weft.data.vocabulary import Vocabulary
from weft.files import write_text
from weft.models import directory
from weft.recipe import Recipe

BATCHES = 200  # that are written out for engines that take them as they are
LONGEST = 60  # tokens of an output


@dataclass(frozen=True)
class Size:
    """How large the models and the amounts are."""

    width: int = 256
    feed_forward: int = 1024
    layers: int = 3
    heads: int = 4
    recurrent: int = 512  # embeddings, both directions of the encoder together, decoder and attention
    vocabulary: int = 8000
    batch_tokens: int = 4096
    dropout: float = 0.1
    smoothing: float = 0.1
    pairs: int = 29_000  # synthetic ones
    learning_steps: int = 250  # before weights are good enough for outputs of a sensible length
    bulk: int = 320  # sentences
    single: int = 40  # sentences, one at a time


QUICK = Size(
    width=32, feed_forward=64, layers=1, heads=2, recurrent=32, vocabulary=400, batch_tokens=256, pairs=400,
    learning_steps=4, bulk=12, single=3,
)  # fmt: skip


class Work:
    """The folder, with the recipe of each model."""

    def __init__(self, folder: Path, size: Size, train: tuple[Path, Path], test: Path) -> None:
        self.folder, self.size, self.train, self.test = folder, size, train, test
        folder.mkdir(parents=True, exist_ok=True)
        for name, model in models(size).items():
            write_text(self.recipe_file(name), yaml.safe_dump(self.settings(name, model), sort_keys=False))
        self.data = prepare(self.recipe("transformer"))

    def recipe_file(self, model: str) -> Path:
        return self.folder / f"{model}.yaml"

    def recipe(self, model: str) -> Recipe:
        return weft.recipe.load(self.recipe_file(model))

    def settings(self, name: str, model: dict[str, Any]) -> dict[str, Any]:
        size, (source, target) = self.size, self.train
        return {
            "name": name,
            "data": {"train": {"source": str(source), "target": str(target)}, "dev_fraction": 0.02},
            "vocabulary": {"shared": True, "source": {"kind": "bpe", "size": size.vocabulary}},
            "model": model,
            "training": {
                "steps": size.learning_steps,
                "batch_tokens": size.batch_tokens,
                "label_smoothing": size.smoothing,
                "optimizer": {"kind": "adam", "learning_rate": 0.002},
                "schedule": {"kind": "inverse_sqrt", "warmup": max(1, size.learning_steps // 4)},
                "device": "cpu",
            },
            "validation": {"every": size.learning_steps},
            "search": {"max_ratio": 1e-9, "max_extra": LONGEST},
        }

    def write(self) -> None:
        """All of the files but the weights."""
        data = self.data
        rows = range(len(data.train))
        write_ids(self.folder / "train.source", (data.train.source(row) for row in rows))
        write_ids(self.folder / "train.target", (data.train.target(row) for row in rows))
        lines = list(islice(read_lines(str(self.test)), self.size.bulk))
        write_text(self.folder / "lines.txt", "".join(f"{line}\n" for line in lines))
        write_ids(self.folder / "test.source", data.source.encode_lines(lines))
        order = Examples(self.recipe("transformer"), data).order.epoch(0)[:BATCHES]
        write_text(self.folder / "batches.json", json.dumps([(batch % len(rows)).tolist() for batch in order]))
        shapes = asdict(self.size) | {
            "vocabulary": data.source.size,
            "longest": LONGEST,
            "pad": Vocabulary.pad,
            "unk": Vocabulary.unk,
            "bos": Vocabulary.bos,
            "eos": Vocabulary.eos,
            "never": [Vocabulary.pad, Vocabulary.unk, Vocabulary.bos, *data.target.line_breaks],
        }
        write_text(self.folder / "work.json", json.dumps(shapes, indent=1))

    def learn(self) -> None:
        """Train the Transformer, or find it trained, and leave it in `model` and weights.npz.

        The bias of the output is zero there, because some engines have none.
        """
        out = self.folder / "runs" / blake2b(f"{self.data.fingerprint} {self.size}".encode(), digest_size=6).hexdigest()
        run = out / "transformer"
        if not (run / directory.CARD).exists():
            weft.train(self.recipe_file("transformer"), f"out={out}", say=lambda line: None)
        model = self.folder / "model"
        for before in (model, self.folder / "ctranslate2"):
            shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(run, model, ignore=shutil.ignore_patterns("checkpoints", "training", "states", ".*"))
        tensors = directory.read_tensors(run / directory.WEIGHTS)
        tensors["output.projection.bias"] = torch.zeros_like(tensors["output.projection.bias"])
        directory.save_tensors(tensors, model / directory.WEIGHTS)
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        np.savez(self.folder / "weights.npz", **arrays)


def models(size: Size) -> dict[str, dict[str, Any]]:
    """The model section of each recipe."""
    stack = {"kind": "transformer"} | {
        name: getattr(size, name) for name in ("layers", "heads", "feed_forward", "dropout")
    }
    found: dict[str, dict[str, Any]] = {
        "transformer": {
            "width": size.width,
            "embedding": {"share": "all"},
            "encoder": stack,
            "decoder": stack,
        }
    }
    for name, cell, attention, feeding in (
        ("lstm", "lstm", "general", False),
        ("lstm_input_feeding", "lstm", "general", True),
        ("gru_additive", "gru", "additive", True),
    ):
        found[name] = {
            "width": size.recurrent,
            "embedding": {"share": "all", "dropout": size.dropout},
            "encoder": {"kind": "rnn", "cell": cell, "width": size.recurrent // 2, "dropout": size.dropout},
            "decoder": {
                "kind": "rnn",
                "cell": cell,
                "width": size.recurrent,
                "attention": {"kind": attention},
                "query": "current",
                "input_feeding": feeding,
                "readout": "tanh",
                "dropout": size.dropout,
            },
        }
    return found


def write_ids(path: Path, sentences: Iterable[Sequence[int] | np.ndarray[Any, Any]]) -> None:
    write_text(path, "".join(f"{' '.join(map(str, ids))}\n" for ids in sentences))


def invented(folder: Path, size: Size) -> tuple[tuple[Path, Path], Path]:
    """Synthetic training files, and the source of test sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    return synthetic.write(folder, "train", size.pairs, 1), synthetic.write(folder, "test", size.bulk, 2)[0]


def padding(data: Prepared, recipe: Recipe) -> float:
    """The share of an epoch's positions, of sources and targets together, that hold no token."""
    source, target = data.train.source_lengths + 1, data.train.target_lengths + 1
    real = filled = 0
    for rows in epoch(data, recipe):
        real += int(source[rows].sum() + target[rows].sum())
        filled += len(rows) * int(source[rows].max() + target[rows].max())
    return 1 - real / filled


def epoch(data: Prepared, recipe: Recipe) -> Iterator[np.ndarray[Any, Any]]:
    count = len(data.train)
    return (rows % count for rows in Examples(recipe, data).order.epoch(0))
