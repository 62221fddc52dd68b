"""Keys and values of attention in one block, which is written in place and never reordered.

B sentences, K hypotheses of each, N = B*K, L layers, G heads of keys and values, d their width, C places of a sentence,
U of them taken.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from weft.models.base import Rows

LEAST = 32  # places


class KeyValues(Rows):
    """Keys and values of every layer: of a source, or of all that a sentence's hypotheses have said.

    Of what is said, each step takes K places of every sentence. Which places are those of a hypothesis is in its state,
    `seen` (N,U), 0 or -inf: when hypotheses are chosen that moves and nothing else, and what several have said together
    is kept once.
    `when` (B,C) has the position that each place was taken at, as soon as one is told; those before stand at 0.
    """

    def __init__(self, whole: Tensor, taken: int) -> None:
        """whole (L,2,B,G,C,d), keys before values."""
        self.taken = taken
        self.when: Tensor | None = None
        self.put(whole, whole.size(2))

    @classmethod
    def of_nothing(cls, layers: int, sentences: int, heads: int, width: int, like: Tensor) -> KeyValues:
        return cls(like.new_empty(layers, 2, sentences, heads, LEAST, width), 0)

    def put(self, whole: Tensor, sentences: int) -> None:
        """whole (L,2,.,G,C,d), of which the first B sentences are still there."""
        self.whole, self.sentences = whole, sentences
        layers = whole[:, :, :sentences].unbind(0)
        self.places = list(layers)  # of each layer (2,B,G,C,d)
        self.keys = [layer[0].flatten(0, 1).transpose(1, 2) for layer in layers]  # of each (B*G,d,C)
        self.values = [layer[1].flatten(0, 1) for layer in layers]  # of each (B*G,C,d)

    def has_room(self, count: int) -> bool:
        return self.taken + count <= self.whole.size(4)

    def add(self, layer: int, both: Tensor) -> tuple[Tensor, Tensor]:
        """both (2,B,G,K,d), keys and values of now -> all keys (B*G,d,U) and values (B*G,U,d), these among them.

        The places are taken when all layers have added theirs.
        """
        count = both.size(3)
        now = self.taken + count
        self.places[layer].narrow(3, self.taken, count).copy_(both)
        return self.keys[layer].narrow(2, 0, now), self.values[layer].narrow(1, 0, now)

    def dated(self, count: int, position: int) -> Tensor:
        """The positions of all places (B,U), with the `count` that are taken now at this one."""
        now = self.taken + count
        if self.when is None:
            self.when = torch.zeros(self.sentences, self.whole.size(4), dtype=torch.long)
        self.when[:, self.taken : now] = position
        return self.when[:, :now]

    def make_room(self, count: int, seen: Tensor | None) -> Tensor | None:
        """Room for `count` places more; with `seen`, places that are nobody's any more go: seen as it is then."""
        layers, _, before, heads, places, width = self.whole.shape
        kept = self.whole[:, :, : self.sentences, :, : self.taken]
        when = None if self.when is None else self.when[:, : self.taken]
        if seen is not None and self.taken:
            of_any = seen.view(self.sentences, -1, self.taken).amax(1).isfinite()  # (B,U)
            most = int(of_any.sum(1).max())
            keep = of_any.byte().argsort(dim=1, descending=True, stable=True)[:, :most]  # (B,U')
            sides = torch.arange(0, 2 * layers * before, before)[:, None] + torch.arange(self.sentences)
            blocks = sides[..., None] * heads + torch.arange(heads)  # (2L,B,G)
            rows = blocks[..., None] * places + keep[:, None]  # (2L,B,G,U')
            kept = self.whole.view(-1, width).index_select(0, rows.flatten())
            kept = kept.view(layers, 2, self.sentences, heads, most, width)
            seen = seen.gather(1, keep.repeat_interleave(len(seen) // self.sentences, 0))
            when = None if when is None else when.gather(1, keep)
            self.taken = most
        whole = kept.new_empty(layers, 2, self.sentences, heads, max(LEAST, 2 * (self.taken + count)), width)
        whole[..., : self.taken, :] = kept
        if when is not None:
            self.when = F.pad(when, (0, whole.size(4) - self.taken))
        self.put(whole, self.sentences)
        return seen

    def rows(self, rows: Tensor) -> KeyValues:
        """Those sentences; of some that stay in their places, only what fills the places of others is copied."""
        count = len(rows)
        if self.when is not None:
            self.when = self.when.index_select(0, rows)
        moved = (rows != torch.arange(count)).nonzero().squeeze(1)
        sources = rows[moved]
        if count > self.sentences or (len(moved) and int(sources.min()) < count):
            self.put(self.whole.index_select(2, rows), count)
            return self
        if len(moved):
            taken = self.whole[..., : self.taken, :]
            taken[:, :, moved] = taken[:, :, sources]
        self.put(self.whole, count)
        return self
