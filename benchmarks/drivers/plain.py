"""What PyTorch gives without a toolkit: nn.Transformer, nn.LSTM, nn.GRUCell, cross_entropy, Adam.

Arguments: folder, model.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.drivers.ctranslate2 import table
from benchmarks.drivers.transformers import padded
from benchmarks.turns import StepTurns, Turns, read_ids, read_work

Scores = Callable[[Any, Tensor, Tensor, dict[str, Any]], Tensor]


class Transformer(nn.Module):
    def __init__(self, work: dict[str, Any]) -> None:
        super().__init__()
        self.pad, self.width = work["pad"], work["width"]
        self.embedding = nn.Embedding(work["vocabulary"], self.width)
        nn.init.normal_(self.embedding.weight, std=self.width**-0.5)
        self.core = nn.Transformer(
            self.width, work["heads"], work["layers"], work["layers"], work["feed_forward"], work["dropout"],
            batch_first=True, norm_first=True,
        )  # fmt: skip
        for part in self.core.modules():  # dropout where weft has it: at the end of each part
            if isinstance(part, nn.MultiheadAttention):
                part.dropout = 0.0
            if isinstance(part, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
                part.dropout.p = 0.0
        self.dropout = nn.Dropout(work["dropout"])
        self.bias = nn.Parameter(torch.zeros(work["vocabulary"]))
        self.register_buffer("positions", torch.from_numpy(table(1024, self.width)))

    def embed(self, ids: Tensor) -> Tensor:
        places = self.get_buffer("positions")[: ids.size(1)]
        embedded: Tensor = self.dropout(self.embedding(ids) * math.sqrt(self.width) + places)
        return embedded

    def forward(self, source: Tensor, fed: Tensor) -> Tensor:
        hidden = source == self.pad
        later = torch.ones(fed.size(1), fed.size(1), dtype=torch.bool).triu(1)
        seen = self.core(
            self.embed(source),
            self.embed(fed),
            tgt_mask=later,
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
            tgt_is_causal=True,
        )
        return F.linear(seen, self.embedding.weight, self.bias)


class Recurrent(nn.Module):
    """Bidirectional encoder; attention by the new state, to a vector tanh(W [c; s]), which may be fed back."""

    def __init__(self, work: dict[str, Any], cell: str, additive: bool, feeding: bool) -> None:
        super().__init__()
        width = work["recurrent"]
        self.pad, self.width, self.additive, self.feeding, self.cell = work["pad"], width, additive, feeding, cell
        self.embedding = nn.Embedding(work["vocabulary"], width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        whole, one = (nn.LSTM, nn.LSTMCell) if cell == "lstm" else (nn.GRU, nn.GRUCell)
        self.encoder = whole(width, width // 2, bidirectional=True, batch_first=True)
        self.decoder = one(2 * width, width) if feeding else whole(width, width, batch_first=True)
        self.keys = nn.Linear(width, width, bias=False)
        self.query = nn.Linear(width, width) if additive else nn.Identity()
        self.energy = nn.Linear(width, 1, bias=False) if additive else nn.Identity()
        self.readout = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(work["dropout"])
        self.bias = nn.Parameter(torch.zeros(work["vocabulary"]))

    def attend(self, state: Tensor, memory: Tensor, keys: Tensor, hidden: Tensor) -> Tensor:
        """state (B,T,D) -> (B,T,D)."""
        if self.additive:
            energy = self.energy(torch.tanh(self.query(state)[:, :, None] + keys[:, None]))[..., 0]
        else:
            energy = state @ keys.transpose(1, 2)
        context = energy.masked_fill(hidden[:, None], -torch.inf).softmax(-1) @ memory
        looked: Tensor = self.dropout(torch.tanh(self.readout(torch.cat([context, state], -1))))
        return looked

    def forward(self, source: Tensor, fed: Tensor) -> Tensor:
        hidden = source == self.pad
        lengths = (~hidden).sum(1)
        packed = nn.utils.rnn.pack_padded_sequence(
            self.dropout(self.embedding(source)), lengths, batch_first=True, enforce_sorted=False
        )
        states, last = self.encoder(packed)
        memory, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
        memory = self.dropout(memory)
        keys, said = self.keys(memory), self.dropout(self.embedding(fed))
        first = [part.transpose(0, 1).flatten(1) for part in (last if self.cell == "lstm" else (last,))]
        if self.feeding:
            seen = self.stepped(said, first, memory, keys, hidden)
        else:
            begin = tuple(part[None] for part in first)
            steps, _ = self.decoder(said, begin if self.cell == "lstm" else begin[0])
            seen = self.attend(steps, memory, keys, hidden)
        return F.linear(seen, self.embedding.weight, self.bias)

    def stepped(self, said: Tensor, first: list[Tensor], memory: Tensor, keys: Tensor, hidden: Tensor) -> Tensor:
        state: Any = tuple(first) if self.cell == "lstm" else first[0]
        looked, seen = memory.new_zeros(len(said), self.width), []
        for step in range(said.size(1)):
            state = self.decoder(torch.cat([said[:, step], looked], -1), state)
            top = state[0] if self.cell == "lstm" else state
            looked = self.attend(top[:, None], memory, keys, hidden)[:, 0]
            seen.append(looked)
        return torch.stack(seen, 1)


class Loop:
    """The batches as they are given, padded, one after the other."""

    def __init__(self, folder: Path, network: nn.Module, scores: Scores) -> None:
        self.work = read_work(str(folder))
        self.sources, self.targets = (read_ids(folder / f"train.{side}") for side in ("source", "target"))
        self.batches = cycle(json.loads((folder / "batches.json").read_text("utf-8")))
        self.network, self.scores = network.train(), scores
        self.optimizer = torch.optim.Adam(network.parameters(), lr=5e-4, betas=(0.9, 0.98))
        self.steps(StepTurns.WARM)

    def steps(self, steps: int) -> dict[str, Any]:
        began, tokens = time.perf_counter(), 0
        for _ in range(steps):
            tokens += self.step(next(self.batches))
        return {"seconds": time.perf_counter() - began, "tokens": tokens, "steps": steps}

    def step(self, rows: list[int]) -> int:
        work = self.work
        source = padded([[*self.sources[row], work["eos"]] for row in rows], work["pad"])
        fed = padded([[work["bos"], *self.targets[row]] for row in rows], work["pad"])
        gold = padded([[*self.targets[row], work["eos"]] for row in rows], work["pad"])
        self.optimizer.zero_grad(set_to_none=True)
        scores = self.scores(self.network, source, fed, work)
        loss = F.cross_entropy(
            scores.flatten(0, 1), gold.flatten(), ignore_index=work["pad"], label_smoothing=work["smoothing"]
        )
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return int((gold != work["pad"]).sum())


def model(name: str, work: dict[str, Any]) -> nn.Module:
    if name == "transformer":
        return Transformer(work)
    return Recurrent(work, name[: name.index("_")] if "_" in name else name, "additive" in name, "_" in name)


if __name__ == "__main__":
    turns = Turns()
    folder = Path(sys.argv[1])
    network = model(sys.argv[2], read_work(str(folder)))
    turns.serve(Loop(folder, network, lambda network, source, fed, _: network(source, fed)).steps)
