"""Text comes back from its pieces; what cannot is found; what is asked for and cannot be is refused."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import weft.data.vocabulary
from weft.data.vocabulary import Vocabulary, round_trip
from weft.errors import WeftError
from weft.recipe import Vocabulary as Settings

Kind = Literal["word", "character", "bpe", "unigram"]
TRAPS = [
    "the cat sat on the mat",
    " leading, trailing ",
    "two  spaces   three",
    " ",
    "  ",
    "a\ttab\t",
    "<s> </s> <unk> <pad> <0x0A>",
    "\u2585 block \u2585\u2585",
    "\u2028 \x0b \x85 \x1c \x1f \u3000 \u00a0 \u200b \ufeff \ufffd \x01",
    "naïve e\u0301 \u00e9 ﬁ ２ 株式会社 👩‍👩‍👧",
    "x" * 20_000,
]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\u2581"), max_size=30)


def learn(
    lines: list[str], kind: Kind, size: int = 400, byte_fallback: bool = True, normalization: str = "identity"
) -> Vocabulary:
    with TemporaryDirectory() as folder:
        settings = Settings(kind=kind, size=size, byte_fallback=byte_fallback)
        return Vocabulary.learn(lines, settings, normalization, Path(folder) / "source.model")


@cache
def learnt_once(kind: Kind, byte_fallback: bool) -> Vocabulary:
    return learn(TRAPS, kind, byte_fallback=byte_fallback)


@pytest.mark.parametrize("byte_fallback", [True, False])
@pytest.mark.parametrize("kind", ["character", "bpe", "unigram"])
def test_seen_text_comes_back(kind: Kind, byte_fallback: bool) -> None:
    vocabulary = learnt_once(kind, byte_fallback)
    assert round_trip(vocabulary, [*TRAPS, ""]) == []
    assert not any(vocabulary.unk in ids for ids in vocabulary.encode_lines(TRAPS))
    assert all(vocabulary.decode(vocabulary.encode(line)) == line for line in TRAPS)


@given(st.sampled_from(["bpe", "unigram"]), TEXT)
def test_any_text_comes_back_with_bytes(kind: Kind, text: str) -> None:
    vocabulary = learnt_once(kind, True)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(st.lists(TEXT, min_size=1, max_size=6), st.sampled_from(["character", "bpe", "unigram"]))
@example(["0\r"], "character")
@example(["\r"], "bpe")
@example(["a\r", "\r b"], "unigram")
def test_whatever_is_learnt_from_comes_back(lines: list[str], kind: Kind) -> None:
    if any(lines):
        assert round_trip(learn(lines, kind, 1000, byte_fallback=False), lines) == []


def test_the_sign_that_stands_for_a_space_is_found_by_the_round_trip() -> None:
    lines = ["a b", "a \u2581 b"]
    assert round_trip(learn(lines, "bpe"), lines) == ["a \u2581 b"]


def test_words() -> None:
    vocabulary = learn(["K AE1 T", "B AE1 T S"], "word")
    assert vocabulary.pieces(range(vocabulary.size))[:4] == ["<pad>", "<unk>", "<s>", "</s>"]
    assert sorted(vocabulary.pieces(range(4, vocabulary.size))) == ["▁AE1", "▁B", "▁K", "▁S", "▁T"]
    ids = vocabulary.encode("T AE1 Q")
    assert ids[-1] == vocabulary.unk and len(ids) == 3
    assert vocabulary.decode([vocabulary.bos, *ids[:2], vocabulary.eos, vocabulary.pad]) == "T AE1"
    assert round_trip(vocabulary, ["K T", "K Q"]) == ["K Q"]


def test_fewer_words_than_there_are_leaves_the_rarest_unknown() -> None:
    vocabulary = learn(["a a a a b b b c c c d d d e"], "word", size=8)
    assert vocabulary.size == 8
    assert vocabulary.encode("a e")[1] == vocabulary.unk


def test_words_longer_than_sentencepiece_takes_are_unknown() -> None:
    vocabulary = learn(["a " + "x" * 16_000, "é" * 9000 + " b"], "word")
    assert vocabulary.decode(vocabulary.encode("a b " + "x" * 16_000)) == "a b"


def test_letters_of_single_words() -> None:
    vocabulary = learn(["CAT", "BATS"], "character")
    assert vocabulary.pieces(vocabulary.encode("TABS")) == ["T", "A", "B", "S"]
    assert vocabulary.size == 4 + 5


def test_special_ids() -> None:
    vocabulary = learn(["ab"], "bpe")
    assert (vocabulary.pad, vocabulary.unk, vocabulary.bos, vocabulary.eos) == (0, 1, 2, 3)
    assert vocabulary.pieces([0, 1, 2, 3]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert vocabulary.decode([2, 3, 0, 1]) == ""
    assert (vocabulary.encode(""), vocabulary.encode_lines([]), vocabulary.decode_lines([])) == ([], [], [])


def test_normalization_is_only_done_when_asked_for() -> None:
    assert round_trip(learn(["ﬁne ２"], "bpe"), ["ﬁne ２"]) == []
    vocabulary = learn(["ﬁne ２"], "bpe", normalization="nfkc")
    assert vocabulary.decode(vocabulary.encode("ﬁne ２")) == "fine 2"
    assert "ﬁ" not in vocabulary.pieces(range(vocabulary.size))


def prose(seed: int, lines: int) -> list[str]:
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(1, 6))) for _ in range(300)]
    return [" ".join(draw.choices(words, k=12)) for _ in range(lines)]


@pytest.mark.parametrize("kind", ["word", "character", "bpe", "unigram"])
def test_equal_lines_give_equal_pieces_and_threads_change_nothing(kind: Kind) -> None:
    lines = prose(1, 500)
    first, second = learn(lines, kind), learn(lines, kind)
    assert first.model_bytes == second.model_bytes
    assert first.encode_lines(lines, threads=1) == first.encode_lines(lines, threads=3)
    assert first.encode_lines(lines) == [first.encode(line) for line in lines]


def test_many_lines_are_sampled_but_every_character_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.data.vocabulary, "SAMPLE", 20)
    lines = [*prose(2, 200), "é", *prose(3, 200)]
    first, second = learn(lines, "unigram", byte_fallback=False), learn(lines, "unigram", byte_fallback=False)
    assert first.model_bytes == second.model_bytes
    assert round_trip(first, lines) == []


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_vocabulary_larger_than_the_data_shrinks(kind: Kind) -> None:
    assert learn(["ab ab abc"], kind, size=8000, byte_fallback=False).size < 20


@pytest.mark.parametrize(("kind", "byte_fallback"), [("bpe", True), ("unigram", False), ("character", True)])
def test_too_small_a_size_is_refused_with_the_smallest(kind: Kind, byte_fallback: bool) -> None:
    smallest = 4 + (256 if kind == "bpe" else 0) + len(set("abcdefghij")) + 1
    with pytest.raises(WeftError, match=rf"^vocabulary\.source: size {smallest - 1} .*smallest possible is {smallest}"):
        learn(prose(1, 50), kind, smallest - 1, byte_fallback)
    assert learn(prose(1, 50), kind, smallest, byte_fallback).size == smallest


@pytest.mark.parametrize("lines", [[], [""]])
def test_no_text_is_refused(lines: list[str]) -> None:
    with pytest.raises(WeftError, match=r"vocabulary\.source: there is no text"):
        learn(lines, "bpe")


def test_an_error_of_the_lines_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match="mine"):
        Vocabulary.learn(
            (fail() for _ in "x"), Settings(kind="bpe", size=300, byte_fallback=True), "identity", tmp_path / "a.model"
        )


def fail() -> str:
    raise WeftError("mine")


def test_save_and_load(tmp_path: Path) -> None:
    vocabulary = learn(["a b c"], "bpe")
    vocabulary.save(tmp_path / "copy.model")
    loaded = Vocabulary.load(tmp_path / "copy.model")
    assert loaded.model_bytes == vocabulary.model_bytes
    assert loaded.encode("a c") == vocabulary.encode("a c")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.model"]


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_damaged_model_is_named(tmp_path: Path, part: float) -> None:
    whole = learn(["a b c"], "bpe").model_bytes
    path = tmp_path / "a.model"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(WeftError, match=r"a\.model: damaged"):
        Vocabulary.load(path)


def test_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match=r"a\.model: no such vocabulary"):
        Vocabulary.load(tmp_path / "a.model")


def test_the_trainer_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    learn(prose(1, 20), "unigram")
    assert capfd.readouterr() == ("", "")
