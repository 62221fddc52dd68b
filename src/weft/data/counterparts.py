"""Which pieces of an old vocabulary stand for those of a new one. V pieces of the new one, D width."""

from __future__ import annotations

import re
from functools import cached_property

import torch
from torch import Tensor

from weft.data.vocabulary import SPACE, SPECIAL, Vocabulary

BYTE = re.compile(r"<0x[0-9A-F]{2}>")
BREAK = "\n"  # stands in no piece: what follows it is split as it would be inside a line


class Counterparts:
    """The same pieces by their text, and of others the old pieces that their text is split into."""

    def __init__(self, old: Vocabulary, new: Vocabulary) -> None:
        self.old, self.new = old, new
        before = {piece: number for number, piece in enumerate(old.pieces(range(old.size)))}
        pairs = [(number, before[piece]) for number, piece in enumerate(new.pieces(range(new.size))) if piece in before]
        self.here, self.there = (torch.tensor(side, dtype=torch.long) for side in zip(*pairs, strict=True))

    def __len__(self) -> int:
        """How many pieces both have."""
        return len(self.here)

    @cached_property
    def parts(self) -> dict[int, list[int]]:
        """For each new piece of text the old pieces that it is split into; those without any known one are left out."""
        same, prefix = set(self.here.tolist()), len(self.old.encode(BREAK))
        found = {}
        for number, piece in texts(self.new).items():
            if number in same:
                continue
            pieces = self.old.encode(BREAK + piece.replace(SPACE, " "))[prefix:]
            if set(pieces) - {self.old.unk}:
                found[number] = pieces
        return found

    def moved(self, old: Tensor, new: Tensor) -> Tensor:
        """old (.,...) and new (V,...) -> (V,...): rows of the same pieces from `old`, the others from `new`."""
        moved = new.clone()
        moved[self.here] = old[self.there].to(new)
        return moved


def texts(vocabulary: Vocabulary) -> dict[int, str]:
    """The pieces of text by their ids: none that is special, the token of a direction, or a byte."""
    pieces = dict(enumerate(vocabulary.pieces(range(vocabulary.size))))
    return {
        number: piece
        for number, piece in pieces.items()
        if number >= len(SPECIAL) and not BYTE.fullmatch(piece) and vocabulary.control(piece) is None
    }


def words(vocabulary: Vocabulary) -> dict[str, list[int]]:
    """The ids of the pieces of text that are spelt like each word, at the start of a word and elsewhere."""
    found: dict[str, list[int]] = {}
    for number, piece in texts(vocabulary).items():
        word = piece.removeprefix(SPACE)
        if word and SPACE not in word:
            found.setdefault(word, []).append(number)
    return found
