"""Spans and labels, against counts made by hand and against a plain reading of the definitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.metrics.labels import (
    confusion,
    confusion_of_sets,
    first_accuracy,
    gap_accuracy,
    macro_f1,
    micro_f1,
    tag_accuracy,
)
from weft.metrics.score import compute, higher_is_better
from weft.metrics.spans import span_f1, spans

TAG = st.sampled_from(["O", "B-NP", "I-NP", "B-VP", "I-VP"])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-NP I-NP O B-VP", {(0, 2, "NP"), (3, 4, "VP")}),
        ("B-NP B-NP I-NP", {(0, 1, "NP"), (1, 3, "NP")}),
        ("I-NP I-NP I-VP", {(0, 2, "NP"), (2, 3, "VP")}),
        ("B-NP I-VP I-VP", {(0, 1, "NP"), (1, 3, "VP")}),
        ("atis_flight O O B-from.city I-from.city", {(3, 5, "from.city")}),
        ("O B- I-", {(1, 3, "")}),
        ("B I O B B O I", {(0, 2, ""), (3, 4, ""), (4, 5, ""), (6, 7, "")}),
        (
            "B-x I-x E-x S-x S-y B-x E-x E-x O E-y I-y",
            {(0, 3, "x"), (3, 4, "x"), (4, 5, "y"), (5, 7, "x"), (7, 8, "x"), (9, 10, "y"), (10, 11, "y")},
        ),
        ("B-x M-x E-x U-y B-y L-y", {(0, 3, "x"), (3, 4, "y"), (4, 6, "y")}),
        ("", set()),
    ],
)
def test_spans(tags: str, expected: set[tuple[int, int, str]]) -> None:
    assert spans(tags.split()) == expected


@given(st.lists(TAG, max_size=9))
def test_spans_cover_what_is_not_outside(tags: list[str]) -> None:
    found = spans(tags)
    covered = [place for start, end, _ in found for place in range(start, end)]
    assert sorted(covered) == [place for place, tag in enumerate(tags) if tag != "O"]
    assert all(tags[place][2:] == kind for start, end, kind in found for place in range(start, end))
    assert all(not tag.startswith("B-") or any(start == place for start, _, _ in found)
               for place, tag in enumerate(tags))  # fmt: skip


def test_span_f1_counts_over_all_lines() -> None:
    said, wanted = ["B-A O B-B", "B-A I-A"], [["B-A O B-A"], ["B-A I-A"]]
    assert span_f1(said, wanted) == pytest.approx(100 * 2 * 2 / (3 + 3))
    assert span_f1(["O O"], [["O O"]]) == 100
    assert span_f1(["O O", "S-A O"], [["B I"], ["S-A S-A"]]) == 50


def test_tags_by_place() -> None:
    assert tag_accuracy(["A B C", "A"], [["A X C"], ["A B"]]) == pytest.approx(100 * 3 / 5)
    assert first_accuracy(["go A", "stop B"], [["go B"], ["go B"]]) == 50


def test_f1_of_labels() -> None:
    said, wanted = ["a", "a", "b", "c"], [["a"], ["b"], ["b"], ["b"]]
    assert micro_f1(said, wanted) == 50
    of_a, of_b, of_c = 2 / 3, 2 * 1 / (1 + 3), 0
    assert macro_f1(said, wanted) == pytest.approx(100 * (of_a + of_b + of_c) / 3)
    assert micro_f1(["x y"], [["y z"]]) == 50
    assert micro_f1([""], [[""]]) == macro_f1([""], [[""]]) == 100


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=20))
def test_micro_f1_of_single_labels_is_accuracy(pairs: list[tuple[str, str]]) -> None:
    said, wanted = [one for one, _ in pairs], [[other] for _, other in pairs]
    accuracy = 100 * sum(one == other for one, other in pairs) / len(pairs)
    assert micro_f1(said, wanted) == pytest.approx(accuracy)
    assert tag_accuracy(said, wanted) == pytest.approx(accuracy)


def test_confusion_counts_what_was_wanted_by_row() -> None:
    labels, counts = confusion(["a", "b", "b c"], [["a"], ["a"], ["b a"]], most=2)
    assert labels == ["a", "b"]
    assert counts == [[1, 1], [0, 1]]


def test_confusion_of_sets_counts_what_was_missed_against_what_was_wrong() -> None:
    said, wanted = ["a b", "a", "", "b c", "a"], [["a"], ["b"], ["b"], ["b c"], ["c b"]]
    labels, counts = confusion_of_sets(said, wanted, most=9)
    assert labels == ["-", "a", "b", "c"]
    assert counts == [
        [0, 0, 1, 0],  # b where nothing was missed
        [0, 1, 0, 0],
        [1, 2, 1, 0],  # b missed, once for nothing and twice for a
        [0, 1, 0, 1],
    ]


def test_they_are_scores_like_others() -> None:
    score = compute(["span_f1"], ["B-A"], [["B-A"]])[0]
    assert (score.value, score.label, score.higher_is_better) == (100, "span F1", True)
    assert "conlleval" in score.signature
    assert not higher_is_better("loss")


def test_gap_accuracy_counts_gaps_by_place() -> None:
    outputs = ["cat", "a b <gap> c", "one", "x <gap> y <gap> z"]
    references = [["cat"], ["a b <gap> d"], ["one <gap> two"], ["y"]]
    assert gap_accuracy(outputs, references) == 100 * (1 + 1 + 1 + 0) / (1 + 2 + 2 + 1)
    assert gap_accuracy(["cat"], [["dog", "cat"]]) == 0.0
