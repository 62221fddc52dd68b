"""Duplicates are found range by range as they would be all at once; columns hold what they were given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.data.column import Column
from weft.data.survey import DEV, EMPTY_SOURCE, EMPTY_TARGET, TRAIN, Survey, hash64, repeated

HASHES = st.sampled_from([0, 1, 2**62, 2**63, 2**63 + 1, 2**64 - 1])
CORPUS = st.lists(st.tuples(st.sampled_from([TRAIN, TRAIN, DEV, EMPTY_SOURCE]), HASHES), max_size=30)


@settings(max_examples=80, deadline=None)
@given(corpora=st.lists(CORPUS, min_size=1, max_size=3), at_once=st.integers(1, 100))
def test_what_was_there_before_is_found_in_any_number_of_ranges(
    corpora: list[list[tuple[int, int]]], at_once: int
) -> None:
    columns = [
        (np.array([fate for fate, _ in corpus], np.uint8), np.array([h for _, h in corpus], np.uint64))
        for corpus in corpora
    ]
    seen: set[int] = set()
    for corpus, found in zip(corpora, repeated(columns, at_once), strict=True):
        expected = []
        for place, (fate, value) in enumerate(corpus):
            if fate == TRAIN:
                if value in seen:
                    expected.append(place)
                seen.add(value)
        assert sorted(found.tolist()) == expected


def test_a_survey_tells_empty_sides_and_hashes_the_rest() -> None:
    pairs = [("a", "x"), (" ", "y"), ("b", ""), ("ü", "z")]
    seen = Survey(with_source=True, split_side=0)(pairs)
    assert seen.fates.tolist() == [TRAIN, EMPTY_SOURCE, EMPTY_TARGET, TRAIN]
    assert seen.sides.tolist() == [hash64("a"), 0, 0, hash64("ü")]
    assert seen.pairs.tolist() == [hash64("a\nx"), 0, 0, hash64("ü\nz")]
    without = Survey(with_source=False, split_side=1)([("", "x"), ("", " ")])
    assert (without.fates.tolist(), without.sides.tolist()) == ([TRAIN, EMPTY_TARGET], [hash64("x"), 0])


def test_images_split_by_their_names_within_their_folders() -> None:
    here, there = (
        Survey(with_source=True, split_side=0, of_images=True)([(f"{folder}/7.png", "x"), ("", "y")])
        for folder in ("here", "there")
    )
    assert here.sides.tolist() == there.sides.tolist() == [hash64("7.png"), 0]
    assert here.pairs.tolist() != there.pairs.tolist()


def test_a_column_keeps_what_is_added_and_what_is_written_into_it(tmp_path: Path) -> None:
    column = Column(tmp_path, np.uint8)
    assert len(column.numbers) == 0
    column.extend(np.array([1, 2]))
    column.extend(np.array([3]))
    column.numbers[1] = 9
    column.extend(np.array([4]))
    assert (column.numbers.tolist(), len(column)) == ([1, 9, 3, 4], 4)
    column.clear()
    column.extend(np.array([7]))
    assert column.numbers.tolist() == [7]
    assert list(tmp_path.iterdir()) == []
