"""Lines whose words are looked up have the ids that SentencePiece gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import weft.data.words
from weft.data.turns import TURN
from weft.data.vocabulary import SPACE, Vocabulary
from weft.data.words import Words
from weft.recipe.data import Vocabulary as Settings

TEXT = [
    "the cat sat on the mat",
    "a cat, a hat and the bat",
    "that is theirs, not ours",
    "zażółć gęślą jaźń",
    "猫が座った",
]
LINES = st.lists(st.text("abcths ,\t▁ż猫\u3000\u200b\U0001f600", max_size=24), max_size=12)


def vocabulary(path: Path, kind: str = "bpe", normalization: str = "identity", **more: Any) -> Vocabulary:
    chosen = Settings(kind=kind, size=400, **more)  # type: ignore[arg-type]
    return Vocabulary.learn(TEXT * 3, chosen, normalization, path / "source.model")


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> list[Vocabulary]:
    path = tmp_path_factory.mktemp("words")
    return [
        vocabulary(path),
        vocabulary(path, byte_fallback=False),
        vocabulary(path, "word"),
        vocabulary(path, "unigram"),
    ]


@settings(max_examples=60, deadline=None)
@given(first=LINES, second=LINES)
def test_ids_are_those_of_sentencepiece(vocabularies: list[Vocabulary], first: list[str], second: list[str]) -> None:
    for there in vocabularies:
        words = Words(there)
        for lines in (first, second, [*TEXT, *first]):
            found, doubtful = words.encode(lines)
            expected = there.encode_lines(lines)
            assert found.lists(list(range(len(lines)))) == expected
            back = there.decode_lines(expected)
            assert {n for n, line in enumerate(lines) if back[n] != line} <= set(doubtful.tolist())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, most=st.integers(0, 6))
def test_how_many_words_are_kept_changes_nothing(
    vocabularies: list[Vocabulary], monkeypatch: pytest.MonkeyPatch, lines: list[str], most: int
) -> None:
    monkeypatch.setattr(weft.data.words, "MOST", most)
    words = Words(vocabularies[0])
    for _ in range(2):
        found, _ = words.encode([*lines, *TEXT])
        assert found.lists(list(range(len(lines)))) == vocabularies[0].encode_lines(lines)
        assert len(words.known) <= most


def test_whole_words_are_looked_up_as_they_are_cut_in_a_line(tmp_path: Path) -> None:
    settings = Settings(kind="bpe", size=400)
    there = Vocabulary.learn(TEXT * 3, settings, "identity", tmp_path / "source.model", whole=[SPACE + TURN])
    words = Words(there)
    lines = [f"the cat {TURN} sat", f"{TURN} a {TURN}cat", f"mat{TURN} on", f"{TURN}{TURN} hat {TURN}"]
    assert words.apart
    for _ in range(2):
        found, doubtful = words.encode(lines)
        assert found.lists(list(range(len(lines)))) == there.encode_lines(lines)
        assert not doubtful.size


def test_which_vocabularies_take_words_apart(tmp_path: Path) -> None:
    assert Words(vocabulary(tmp_path)).apart
    assert Words(vocabulary(tmp_path, "word")).apart
    assert not Words(vocabulary(tmp_path, "unigram")).apart
    assert not Words(vocabulary(tmp_path, "character")).apart
    assert not Words(vocabulary(tmp_path, normalization="nfkc")).apart


def test_sentencepiece_is_not_asked_again_for_lines_of_known_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = Words(vocabulary(tmp_path))
    words.encode(TEXT)
    asked: list[str] = []

    def encode_lines(lines: list[str], threads: int = 1) -> list[list[int]]:
        asked.extend(lines)
        return [[] for _ in lines]

    monkeypatch.setattr(words.vocabulary, "encode_lines", encode_lines)
    words.encode(["the mat sat on bat", "a cat"])
    assert asked == []
    words.encode(["the  cat"])
    assert asked == ["the  cat"]
