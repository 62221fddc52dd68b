"""Pieces of two vocabularies find each other by their text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

import weft.recipe
from weft.data.counterparts import Counterparts, texts, words
from weft.data.direction import TOKENS
from weft.data.vocabulary import Vocabulary

LINES = [
    " ".join("".join(draw.choices("abcdeéß", k=draw.randint(1, 7))) for _ in range(8))
    for draw in map(random.Random, range(60))
]


def learn(folder: Path, lines: list[str], control: tuple[str, ...] = (), **settings: Any) -> Vocabulary:
    return Vocabulary.learn(lines, weft.recipe.Vocabulary(**settings), "identity", folder / "pieces.model", control)


@pytest.mark.parametrize("bytes_too", [True, False])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_new_piece_is_spelt_by_old_ones(tmp_path: Path, kind: str, bytes_too: bool) -> None:
    """At the start of a word and elsewhere, as it would be inside a line."""
    old = learn(tmp_path, LINES[:20], kind=kind, size=300, byte_fallback=bytes_too)
    new = learn(tmp_path, LINES, kind=kind, size=500, byte_fallback=bytes_too)
    pieces = Counterparts(old, new)
    assert 0 < len(pieces) == new.size - len(pieces.parts)
    for number, spelt in pieces.parts.items():
        assert "".join(old.pieces(spelt)) == new.pieces([number])[0]
    for here, there in zip(pieces.here.tolist(), pieces.there.tolist(), strict=True):
        assert new.pieces([here]) == old.pieces([there])


def test_of_what_is_unknown_and_of_what_is_no_text_there_are_no_parts(tmp_path: Path) -> None:
    old = learn(tmp_path, ["ein hund", "ein hund"], kind="word")
    new = learn(tmp_path, ["ein hase", "ein hase"], kind="word")
    pieces = Counterparts(old, new)
    assert len(pieces) == 5 and pieces.parts == {}
    old = learn(tmp_path, ["forward backward x0A<>"], kind="character")
    new = learn(tmp_path, ["forward backward x0A<>"], tuple(TOKENS.values()), kind="bpe", size=400)
    told = {new.pieces([number])[0] for number in Counterparts(old, new).parts}
    assert told == {piece for piece in texts(new).values() if len(piece) > 1}
    assert not told & {*TOKENS.values(), "<0x0A>", "<s>"}


def test_an_equal_vocabulary_has_every_row(tmp_path: Path) -> None:
    vocabulary = learn(tmp_path, LINES, kind="bpe", size=400)
    pieces = Counterparts(vocabulary, Vocabulary(vocabulary.model_bytes))
    rows = torch.rand(vocabulary.size, 3)
    assert torch.equal(pieces.moved(rows, torch.zeros_like(rows)), rows) and pieces.parts == {}


def test_words_of_pieces(tmp_path: Path) -> None:
    vocabulary = learn(tmp_path, ["ab abc bc c ab abc"], kind="bpe", size=12, byte_fallback=False)
    pieces = vocabulary.pieces(range(vocabulary.size))
    for word, numbers in words(vocabulary).items():
        assert {pieces[number] for number in numbers} <= {word, f"▁{word}"}
    assert sorted(number for numbers in words(vocabulary).values() for number in numbers) == [
        number for number, piece in enumerate(pieces) if number > 3 and piece != "▁"
    ]
