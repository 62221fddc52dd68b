"""What outputs are asked to hold, in pieces of each kind of vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft import recipe
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.tasks.line import ANCHOR, Line, Writer, lines_of

TEXT = ["the red cat sat on the mat", "a red hat", "the cat and the dog"] * 20


def learnt(kind: str, folder: Path, text: list[str] = TEXT) -> Vocabulary:
    settings = recipe.Vocabulary(kind=kind, size=60, byte_fallback=False)
    return Vocabulary.learn(text, settings, "identity", folder / "target.model")


@pytest.mark.parametrize("kind", ["word", "character", "bpe", "unigram"])
def test_a_phrase_is_written_as_in_a_sentence(kind: str, tmp_path: Path) -> None:
    vocabulary = learnt(kind, tmp_path)
    for phrase in ("cat", "red hat", "the"):
        written = Writer(vocabulary, spaced=True).phrase(phrase)
        sentence = vocabulary.encode(f"dog {phrase}")
        assert sentence[len(vocabulary.encode("dog")) :] == written.inside
        assert [vocabulary.bos, *vocabulary.encode(phrase)] == written.start
        assert vocabulary.pieces(written.inside)[0].startswith("▁")


def test_where_there_are_no_spaces_a_phrase_has_none_before_it(tmp_path: Path) -> None:
    vocabulary = learnt("bpe", tmp_path, ["我喜欢红色的猫", "红色的猫喜欢我"] * 20)
    written = Writer(vocabulary, spaced=False).phrase("猫")
    assert vocabulary.pieces(written.inside) == ["猫"]
    assert vocabulary.decode(written.start) == "猫"


def test_the_anchor_is_nothing_that_a_text_holds(tmp_path: Path) -> None:
    for kind in ("word", "character", "bpe", "unigram"):
        vocabulary = learnt(kind, tmp_path)
        alone, before = vocabulary.encode(ANCHOR), vocabulary.encode(f"{ANCHOR} cat")
        assert before[: len(alone)] == alone


def test_what_cannot_be_said_is_named(tmp_path: Path) -> None:
    writer = Writer(learnt("word", tmp_path), spaced=True)
    for line, message in (
        (Line(2, "x", must=["cat", "the zebra"]), "must of line 3 is 'the zebra', but"),
        (Line(0, "x", must=["zebra"]), "must of line 1 is 'zebra', but"),
        (Line(0, "x", must=["zebra cat"]), "must of line 1 is 'zebra cat', but"),
        (Line(0, "x", prefix="red zebra"), "prefix of line 1 is 'red zebra', but"),
    ):
        with pytest.raises(WeftError, match=rf"^{message} the model's vocabulary cannot say 'zebra'$"):
            writer.encoded(line, ([4],))
    assert writer.encoded(Line(0, "x", never=["zebra", "cat"]), ([4],)).never == [writer.phrase("cat")]


def test_a_phrase_is_not_wanted_and_unwanted(tmp_path: Path) -> None:
    writer = Writer(learnt("word", tmp_path), spaced=True)
    with pytest.raises(WeftError, match="line 1 must hold 'the red cat', and never what is part of it"):
        writer.encoded(Line(0, "x", must=["the red cat"], never=["red"]), ([4],))
    writer.encoded(Line(0, "x", must=["red"], never=["the red cat"]), ([4],))


def test_each_line_gets_its_own() -> None:
    lines = list(lines_of(["a", "b"], ["x", ""], [["p", " q "], []], [[], ["", "r"]]))
    assert lines == [Line(0, "a", "x", ["p", "q"], []), Line(1, "b", "", [], ["r"])]
    assert list(lines_of(["a"], None, None, None)) == [Line(0, "a", "", [], [])]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((["a", "b"], ["x"], None, None), "prefix ends after 1 line, the input goes on: each line needs its own"),
        ((["a"], None, [[], []], None), "the input ends after 1 line, must goes on"),
        ((["a"], ["x"], None, []), "never ends after 0 lines, the input goes on"),
        ((["a"], "x", None, None), "prefix is one string; expected a list"),
        ((["a"], [None], None, None), "prefix has None for line 1; expected a string"),
        ((["a", float("nan")], None, None, None), "the input has nan for line 2; expected a string"),
        ((["a"], None, None, [None]), "never has None for line 1; expected a list of phrases"),
        ((["a"], None, ["cat"], None), r"must has 'cat' for a line; expected a list of phrases, such as \['cat'\]"),
    ],
)
def test_counts_and_kinds_are_checked(given: tuple[object, ...], message: str) -> None:
    with pytest.raises(WeftError, match=message):
        list(lines_of(*given))
