"""Every encoder, decoder, attention and context learns to reverse or to copy short strings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from weft.data.batch import Batch, Padded
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Feeding, Model
from weft.recipe.parts import SCORES
from weft.search.choosers import Greedy
from weft.search.run import Limits, search
from weft.training.feeding import feeding

SIZE, LONGEST, BEGIN, END = 9, 3, 2, 3
RNN: dict[str, Any] = {"kind": "rnn", "cell": "gru", "width": 32, "dropout": 0.0}
STACK: dict[str, Any] = {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 64, "dropout": 0.0}
CONV: dict[str, Any] = {"kind": "conv", "layers": 2, "width": 32, "dropout": 0.0}
LUONG = {"query": "current", "readout": "tanh"}

ENCODERS = {
    "elman": RNN | {"cell": "elman"},
    "lstm reversed": RNN | {"cell": "lstm", "bidirectional": False, "reversed": True},
    "conv": CONV,
    "transformer": STACK,
    "rotary": STACK | {"position": "rotary", "norm_kind": "rms", "activation": "swiglu"},
    "relative": STACK | {"position": "relative", "norm": "post"},
}
DECODERS = {
    "elman": RNN | {"cell": "elman"},
    "input feeding": RNN | LUONG | {"cell": "lstm", "input_feeding": True, "attention": {"kind": "general"}},
    "coverage": RNN | {"attention": {"kind": "additive", "coverage": True}},
    "local-p": RNN | LUONG | {"attention": {"kind": "general", "window": "local_p", "reach": 4}},
    "conv": CONV,
    "transformer": STACK,
    "learned": STACK | {"position": "learned", "key_value_heads": 1},
    "ssru": STACK | {"past": "ssru"},
}
CONTEXTS = {
    "first": {"given": "first"},
    "every": {"given": "every", "of": "max"},
    "both": {"given": "both", "of": "weighted", "transform": "linear"},
}
CASES: dict[str, dict[str, Any]] = {
    **{f"encoder {name}": {"encoder": settings, "decoder": RNN} for name, settings in ENCODERS.items()},
    **{f"decoder {name}": {"encoder": RNN | {"width": 16}, "decoder": settings} for name, settings in DECODERS.items()},
    **{
        f"score {kind}": {
            "encoder": RNN | {"width": 16},
            "decoder": RNN | LUONG | {"attention": {"kind": kind, "heads": 2}},
            "context": {"given": "none"},
        }
        for kind in SCORES
    },
    **{
        f"context {name}": {"encoder": RNN, "decoder": RNN | {"attention": None}, "context": settings}
        for name, settings in CONTEXTS.items()
    },
    "context of a transformer": {"encoder": RNN, "decoder": STACK | {"attention": None}, "context": {"given": "both"}},
    "copying": {"encoder": RNN, "decoder": RNN, "copy_source": True},
    "local-m": {
        "encoder": RNN,
        "decoder": RNN | {"attention": {"kind": "additive", "window": "local_m", "reach": 1}},
        "context": {"given": "none"},
    },
}


def strings(count: int, reverse: bool, generator: torch.Generator) -> Batch:
    """Random strings of 1 to LONGEST letters, and what is to be said of them."""
    lengths = torch.randint(1, LONGEST + 1, (count,), generator=generator)
    letters = torch.randint(4, SIZE, (count, LONGEST), generator=generator)
    source, gold = (torch.zeros(count, LONGEST + 1, dtype=torch.long) for _ in range(2))
    for row, length in enumerate(lengths.tolist()):
        line = letters[row, :length]
        source[row, : length + 1] = torch.cat([line, torch.tensor([END])])
        gold[row, : length + 1] = torch.cat([line.flip(0) if reverse else line, torch.tensor([END])])
    fed = torch.cat([torch.full((count, 1), BEGIN), gold[:, :-1]], 1)
    ends = lengths + 1
    return Batch(Padded(source, ends), Padded(fed, ends), Padded(gold, ends), torch.arange(count).numpy())


def accuracy(model: Seq2Seq, batch: Batch) -> float:
    """The part of the strings that greedy search gets right."""
    limits = Limits(BEGIN, END, [LONGEST + 1] * len(batch.rows))
    found = search(model, batch.source, Greedy(), limits)
    right = [
        hypotheses[0].tokens == gold[: length - 1].tolist()
        for hypotheses, gold, length in zip(found, batch.gold.data, batch.gold.lengths.tolist(), strict=True)
    ]
    return sum(right) / len(right)


def learnt(model: Seq2Seq, reverse: bool, steps: int, settings: Feeding) -> Tensor | float:
    generator = torch.Generator().manual_seed(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1.0, step / 20, 1.2 - step / steps)
        loss, count = model.loss(strings(48, reverse, generator), 0.0, feeding(settings, step))
        optimizer.zero_grad()
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return accuracy(model.eval(), strings(100, reverse, generator))


@pytest.mark.parametrize("case", CASES)
def test_learns(case: str) -> None:
    torch.manual_seed(1)
    settings = Model.model_validate({"width": 32, "embedding": {"share": "all", "scale": "none"}} | CASES[case])
    copies = case in ("local-m", "copying")
    assert learnt(Seq2Seq(settings, SIZE, SIZE), not copies, 240 if "context" in case else 150, Feeding()) >= 0.9


@pytest.mark.parametrize("decoder", ["rnn", "transformer"])
@pytest.mark.parametrize("choose", ["argmax", "sample"])
def test_learns_from_its_own_words(decoder: str, choose: str) -> None:
    torch.manual_seed(1)
    settings = Model.model_validate({"width": 32, "encoder": RNN, "decoder": RNN if decoder == "rnn" else STACK})
    scheduled = Feeding(kind="scheduled_sampling", decay="linear", over=120, least=0.3, choose=choose)
    assert learnt(Seq2Seq(settings, SIZE, SIZE), True, 200, scheduled) >= 0.9
