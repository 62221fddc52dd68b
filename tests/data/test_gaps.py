"""Words are taken out of lines: which ones, how often, and that they can be put back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weft.recipe
from weft.data.chance import Chance
from weft.data.corpus import prepare
from weft.data.examples import Examples
from weft.data.gaps import GapCheck, filled, other_gaps, read_gaps
from weft.errors import WeftError
from weft.recipe import GAP, Gaps, Parallel, Recipe

LINES = [
    f"the {animal} {n} sat on the {place} ." for n in range(9) for animal in ("cat", "dog") for place in ("mat", "é")
]
VOCABULARIES: dict[str, dict[str, Any]] = {
    "bpe": {"kind": "bpe", "size": 320, "sampling": 0.1},
    "unigram": {"kind": "unigram", "size": 320},
    "character": {"kind": "character", "size": 60},
    "word": {"kind": "word", "size": 60},
}
gaps = st.builds(Gaps, count=st.integers(1, 4), longest=st.integers(1, 3))
texts = st.lists(st.text(" abcé\t\u3000", max_size=25), min_size=1, max_size=5)


def chance(count: int, seed: int = 1, epoch: int = 0, first: int = 0) -> Chance:
    return Chance(seed, epoch, np.arange(first, first + count))


@settings(max_examples=40, deadline=None)
@given(lines=texts, kind=gaps, epoch=st.integers(0, 1000), first=st.integers(0, 2**40))
def test_what_is_taken_out_can_be_put_back(lines: list[str], kind: Gaps, epoch: int, first: int) -> None:
    pairs = other_gaps(lines, kind, chance(len(lines), epoch=epoch, first=first))
    for number, (line, (source, target)) in enumerate(zip(lines, pairs, strict=True)):
        assert other_gaps([line], kind, chance(1, epoch=epoch, first=first + number)) == [(source, target)]
        words = [part for part in line.split(" ") if part.strip()]
        if not words:
            assert (source, target) == ("", "")
            continue
        assert filled(source, target) == line
        left = [part for part in source.split(" ") if part.strip()]
        answers = target.split(f" {GAP} ")
        assert 1 <= left.count(GAP) == len(answers) <= kind.count
        assert all(1 <= sum(bool(part.strip()) for part in answer.split(" ")) <= kind.longest for answer in answers)
        assert (GAP, GAP) not in pairwise(left)
        assert len(words) == 1 or set(left) > {GAP}


def test_every_number_length_and_place_is_as_often() -> None:
    line = "a b c d e f g h i j"
    pairs = other_gaps([line] * 4000, Gaps(count=2, longest=2), chance(4000))
    alone = [target for _, target in pairs if GAP not in target]
    assert 1850 < len(alone) < 2150
    words = [target for target in alone if " " not in target]
    assert 900 < len(words) < 1100
    counts = [words.count(word) for word in line.split()]
    assert min(counts) > 65 and max(counts) < 140


def test_a_file_has_the_same_gaps_each_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / f"{name}.txt").write_text("\n".join([*LINES, "", " "]) + "\n")
    both = [str(tmp_path / f"{name}.txt") for name in ("one", "other")]
    pairs = list(read_gaps(Parallel(source=None, target=both), Gaps()))
    assert pairs[: len(pairs) // 2] == pairs[len(pairs) // 2 :]
    assert pairs[len(LINES) : len(LINES) + 2] == [("", ""), ("", "")]
    assert [filled(*pair) for pair in pairs[: len(LINES)]] == LINES
    assert len({target for _, target in pairs}) > 5


def test_a_line_that_holds_a_gap_already_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text(f"a b\nc {GAP} d\n")
    with pytest.raises(WeftError, match=r"lines\.txt:2: holds <gap>, which stands for words taken out: 'c <gap> d'"):
        list(read_gaps(Parallel(source=None, target=str(tmp_path / "lines.txt")), Gaps()))


@pytest.mark.parametrize(
    ("line", "answer", "whole"),
    [
        ("the <gap> sat", "cat", "the cat sat"),
        ("<gap> sat on <gap>, the <gap>", "it <gap> that <gap> mat", "it sat on that, the mat"),
        ("a <gap> b <gap>", "one", "a one b <gap>"),
        ("a <gap>", "one <gap> two", "a one"),
        ("", "", ""),
    ],
)
def test_a_line_is_filled_as_far_as_there_are_answers(line: str, answer: str, whole: str) -> None:
    assert filled(line, answer) == whole


@pytest.mark.parametrize("text", ["the<gap>dog saw <gap> today", "the<gap>", "a <gap>"])
def test_a_gap_is_a_word_of_its_own(tmp_path: Path, text: str) -> None:
    source = prepare(recipe(tmp_path)).source
    check = GapCheck(Gaps(count=2), source)
    if text == "a <gap>":
        check.check(0, text, source.encode(text))
        return
    with pytest.raises(
        WeftError, match=r"line 3: (<gap> is part of a word; expected a space|no <gap> in it, as a word)"
    ):
        check.check(2, text, source.encode(text))


def recipe(tmp_path: Path, vocabulary: str = "bpe", **data: Any) -> Recipe:
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n")
    lines = {"source": None, "target": str(tmp_path / "lines.txt")}
    settings = {
        "data": {"train": lines, "dev_fraction": 0.2, "gaps": {"count": 2, "longest": 2}, **data},
        "vocabulary": {"shared": True, "source": VOCABULARIES[vocabulary], "target": {"sampling": 0.0}},
        "training": {"batch_tokens": 128},
    }
    return weft.recipe.checked(settings, "test")


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_each_epoch_has_other_gaps_of_the_same_lines(tmp_path: Path, vocabulary: str) -> None:
    given = recipe(tmp_path, vocabulary)
    data = prepare(given)
    ids = GapCheck(Gaps(), data.source).ids

    def pairs(epoch: int) -> dict[int, tuple[str, str]]:
        found = {}
        examples = Examples(given, data)
        for draw in examples.order.epoch(epoch):
            batch = examples.batch(draw, epoch)
            for place, row in enumerate(batch.rows.tolist()):
                source = batch.source.data[place, : int(batch.source.lengths[place]) - 1].tolist()
                target = batch.gold.data[place, : int(batch.gold.lengths[place]) - 1].tolist()
                gaps = sum(i in ids for i in source)
                assert 1 <= gaps == 1 + sum(i in ids for i in target) <= 2
                found[row] = data.source.decode(source), data.target.decode(target)
        return found

    first, again, second = pairs(0), pairs(0), pairs(1)
    assert first == again
    assert sum(first[row] != second[row] for row in first) > len(first) / 2
    lines = {row: filled(data.train.source_text(row), data.train.target_text(row)) for row in first}
    assert all(filled(*first[row]) == filled(*second[row]) == line for row, line in lines.items())
    dev = [filled(data.dev.source_text(row), data.dev.target_text(row)) for row in range(len(data.dev))]
    assert sorted([*lines.values(), *dev]) == sorted(LINES)


def test_a_pair_stays_as_it_was_where_the_pieces_would_be_too_many(tmp_path: Path) -> None:
    given = recipe(tmp_path, "character", max_length=22)
    data = prepare(given)
    examples = Examples(given, data)
    for epoch in range(3):
        for draw in examples.order.epoch(epoch):
            assert int(examples.batch(draw, epoch).source.lengths.max()) <= 23


def test_other_gaps_are_other_data(tmp_path: Path) -> None:
    one, other = prepare(recipe(tmp_path)), prepare(recipe(tmp_path, gaps={"count": 1}))
    assert one.fingerprint != other.fingerprint
    assert prepare(recipe(tmp_path)).fingerprint == one.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"train": "pairs.tsv"}}, "expected data.train: {source: null, target: FILE}"),
        ({"data": {"dev": "pairs.tsv"}}, "expected data.dev: {source: null, target: FILE}"),
        ({"data": {"also": [{"train": "pairs.tsv"}]}}, "expected data.also.0.train: {source: null, target: FILE}"),
        ({"data": {"noise": {"swap": 1}}}, "data.noise.swap has no place beside data.gaps"),
        ({"vocabulary": {"shared": False}}, "which needs vocabulary.shared: true"),
        (
            {
                "model": {
                    "encoder": {"kind": "none"},
                    "context": {"given": "none"},
                    "decoder": {"kind": "rnn", "attention": None},
                }
            },
            "model.encoder.kind is none, but data.gaps needs one",
        ),
    ],
)
def test_settings_that_gaps_cannot_have_are_refused(change: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {
        "data": {"train": {"source": None, "target": "lines.txt"}, "gaps": {}},
        "vocabulary": {"shared": True},
        "model": {},
    }
    for section, values in change.items():
        settings[section] = {**settings[section], **values}
    with pytest.raises(WeftError) as error:
        weft.recipe.checked(settings, "test")
    assert message in str(error.value)


def test_a_vocabulary_without_a_gap_is_refused(tmp_path: Path) -> None:
    plain = weft.recipe.checked(
        {
            "data": {"train": recipe(tmp_path).data.train},
            "vocabulary": {"source": VOCABULARIES["word"], "target": VOCABULARIES["word"]},
        },
        "test",
    )
    other = prepare(plain).source
    with pytest.raises(WeftError, match=r"data\.gaps is set, but the vocabulary has no piece <gap>"):
        prepare(recipe(tmp_path), (other, other))
