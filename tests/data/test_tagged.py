"""Tags beside words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.data.read import read_pairs
from weft.data.tagged import count, tagged
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.recipe import Columns
from weft.recipe import Vocabulary as Settings

LINES = ["the cat sat", "a dog ran home", "the dog sat", "birds fly"]


def test_white_space_is_one_space() -> None:
    assert list(tagged([(" a \u2003b ", "X  Y")], "words", "here")) == [("a b", "X Y")]


def test_the_sign_that_pieces_have_for_a_space_parts_no_word() -> None:
    assert list(tagged([("a\u2581b \u2581", "X Y")], "words", "here")) == [("a_b _", "X Y")]


@pytest.mark.parametrize(
    ("of", "target", "said"),
    [
        ("words", "X", "1 tag for 2 words; expected 2, one for each word"),
        ("line", "X Y", "2 tags for 2 words; expected 1, one for the line"),
        ("both", "X Y", "2 tags for 2 words; expected 3, one for the line, then one for each word"),
    ],
)
def test_unequal_counts_are_told_with_the_pair(of: str, target: str, said: str) -> None:
    with pytest.raises(WeftError) as error:
        list(tagged([("", ""), ("a b", target)], of, "data.train (f.tsv)"))
    assert str(error.value) == f"data.train (f.tsv): pair 2: {said}: 'a b', '{target}'"


def test_several_columns_follow_one_another(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("words\tslots\tintent\na b\tX Y\tgo\n")
    columns = Columns(source="words", target=["intent", "slots"])
    assert list(tagged(read_pairs(str(tmp_path / "t.tsv"), columns), "both", "data.train")) == [("a b", "go X Y")]


@pytest.fixture(scope="module", params=["word", "bpe", "unigram", "character"])
def vocabulary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path = tmp_path_factory.mktemp(request.param) / "source.model"
    return Vocabulary.learn(LINES * 3, Settings(kind=request.param, size=320), "identity", path)


@given(st.lists(st.sampled_from(["the", "cat", "dog", "zebra", "xylophone", "ü"]), min_size=1, max_size=6))
def test_words_are_counted_in_pieces(vocabulary: Vocabulary, words: list[str]) -> None:
    ids = vocabulary.encode(" ".join(words))
    if vocabulary.of_words:
        assert len(ids) == len(words)
    assert vocabulary.words(ids) == count(len(words), "words")
