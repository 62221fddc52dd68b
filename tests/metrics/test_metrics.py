from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from weft.errors import WeftError
from weft.metrics.breakdown import Item, by_length, confusions, operations, round_bounds, worst
from weft.metrics.edit import alignment, distance
from weft.metrics.rate import nearest_reference
from weft.metrics.score import LABELS, check_names, compute, higher_is_better

OUTPUTS = ["The cat sat on a mat.", "It rains again today.", "Nobody came to the party ."]
REFERENCES = [
    ["The cat sat on the mat."],
    ["It is raining again today.", "It rains again today!"],
    ["Nobody came to the party.", "No one came to the feast.", "The party had no guests."],
]
STREAMS = [[item[n] if n < len(item) else None for item in REFERENCES] for n in range(3)]
UNITS = st.text(alphabet="abc", max_size=8)


def value(name, outputs, references, language=""):
    return compute([name], outputs, references, language)[0].value


def recurrence(one, other):
    """Levenshtein's own definition, to compare with."""
    table = {(row, 0): row for row in range(len(one) + 1)} | {(0, column): column for column in range(len(other) + 1)}
    for row, column in product(range(1, len(one) + 1), range(1, len(other) + 1)):
        table[row, column] = min(
            table[row - 1, column] + 1,
            table[row, column - 1] + 1,
            table[row - 1, column - 1] + (one[row - 1] != other[column - 1]),
        )
    return table[len(one), len(other)]


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("bleu", BLEU(tokenize="13a")),
        ("bleu_tokenized", BLEU(tokenize="none", force=True)),
        ("chrf", CHRF()),
        ("ter", TER()),
    ],
)
def test_equals_sacrebleu_with_as_many_references_as_there_are(name, metric):
    score = compute([name], OUTPUTS, REFERENCES)[0]
    assert score.value == metric.corpus_score(OUTPUTS, STREAMS).score
    assert score.signature == str(metric.get_signature())
    assert "nrefs:var" in score.signature


def test_bleu_of_chinese_counts_characters_and_says_so():
    outputs, references = ["我今天很高兴见到你"], [["我今天很高兴看到你"]]
    score = compute(["bleu"], outputs, references, "zh-CN")[0]
    assert score.value == BLEU(tokenize="zh").corpus_score(outputs, [[references[0][0]]]).score > 0
    assert "tok:zh" in score.signature
    assert value("bleu", outputs, references) == 0
    assert compute(["bleu"], outputs, references, "zho_Hans")[0] == score
    assert value("ter", outputs, references, "zh") == pytest.approx(100 / 9)


def test_bleu_of_japanese_says_what_to_install(monkeypatch):
    monkeypatch.setattr("weft.metrics.score.find_spec", lambda module: None)
    with pytest.raises(WeftError, match=r"pip install 'sacrebleu\[ja\]'"):
        compute(["bleu"], ["犬"], [["犬"]], "ja")
    with pytest.raises(WeftError, match="Korean"):
        check_names(["bleu"], "ko")
    check_names(["chrf", "bleu_tokenized"], "ja")


def test_a_score_prints_with_its_signature():
    assert str(compute(["bleu"], OUTPUTS, REFERENCES)[0]).startswith("BLEU ")
    assert str(compute(["unit_error_rate"], ["a b"], [["a c"]])[0]).startswith(
        "unit error rate 50.00 (nrefs:1|units:whitespace|refs:best|weft:"
    )


def test_unknown_metric_names_the_nearest():
    with pytest.raises(WeftError, match="unknown metric 'chrff'; did you mean 'chrf'"):
        check_names(["bleu", "chrff"])


def test_what_is_better():
    assert {name for name in (*LABELS, "loss") if higher_is_better(name)} == {
        "bleu", "bleu_tokenized", "chrf", "exact_match",
        "span_f1", "tag_accuracy", "first_accuracy", "gap_accuracy", "micro_f1", "macro_f1",
    }  # fmt: skip


def test_nothing_to_score_and_unequal_counts_are_refused():
    with pytest.raises(WeftError, match="nothing to score"):
        compute(["bleu"], [], [])
    with pytest.raises(WeftError, match="2 output lines, but references for 1"):
        compute(["bleu"], ["a", "b"], [["a"]])
    with pytest.raises(WeftError, match="item 2 has no reference"):
        compute(["bleu"], ["a", "b"], [["a"], []])


def test_rates_by_hand():
    outputs = ["F OW N", "CH EY R", "K AE T S"]
    references = [["F OW N"], ["CH EH R", "CH EY R AH"], ["K AE T"]]
    # 0 of 3; 1 of 4 against the second, which is less than 1 of 3; 1 of 3
    assert value("unit_error_rate", outputs, references) == pytest.approx(100 * 2 / 10)
    assert value("exact_match", outputs, references) == pytest.approx(100 / 3)
    assert value("line_error_rate", outputs, references) == pytest.approx(200 / 3)
    assert value("character_error_rate", ["kitten"], [["sitting"]]) == pytest.approx(300 / 7)


def test_empty_references():
    assert value("unit_error_rate", [""], [[""]]) == 0
    assert value("unit_error_rate", ["a"], [[""]]) == 100
    assert value("unit_error_rate", ["a b"], [["", "c b"]]) == 50


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("intention", "execution", 5)],
)
def test_distances_by_hand(one, other, edits):
    assert distance(one, other) == distance(other, one) == edits


@given(st.text(alphabet="ab", max_size=80), st.text(alphabet="ab", max_size=80))
def test_distance_is_levenshteins(one, other):
    assert distance(one, other) == recurrence(one, other)


@given(UNITS, UNITS, UNITS)
def test_distance_is_a_metric(one, other, third):
    assert (distance(one, other) == 0) == (one == other)
    assert distance(one, other) == distance(other, one)
    assert distance(one, third) <= distance(one, other) + distance(other, third)


@given(UNITS, UNITS)
def test_alignment_counts_the_distance_and_spells_both_sides(hypothesis, reference):
    operations = alignment(hypothesis, reference)
    assert sum(operation.kind != "keep" for operation in operations) == distance(hypothesis, reference)
    assert "".join(operation.hypothesis or "" for operation in operations) == hypothesis
    assert "".join(operation.reference or "" for operation in operations) == reference


@given(UNITS, st.lists(UNITS, min_size=1, max_size=4))
def test_best_reference_is_no_worse_than_any(hypothesis, references):
    metric = "character_error_rate"
    best = nearest_reference(hypothesis, references, metric).rate
    assert best == min(nearest_reference(hypothesis, [one], metric).rate for one in references)


ITEMS = [
    Item("P H O N E", "F OW N", ["F OW N"]),
    Item("C H A I R", "CH EY R", ["CH EH R"]),
    Item("B E D", "B EY D", ["B EH D"]),
    Item("X", "K", ["EH K S"]),
    Item("A B C D E F G H I J", "N", ["N"]),
]


def test_worst_items_come_first_and_right_ones_not_at_all():
    assert [judged.item.source for judged in worst(ITEMS, 2)] == ["X", "C H A I R"]
    assert worst(ITEMS, 1)[0].value == pytest.approx(200 / 3)
    assert len(worst(ITEMS, 10)) == 3


def test_worst_sentences_are_judged_by_chrf():
    items = [Item("a", output, references) for output, references in zip(OUTPUTS, REFERENCES, strict=True)]
    judged = worst(items, 3, "bleu")
    assert judged[0].metric == "chrf"
    assert [one.value for one in judged] == sorted(
        CHRF().sentence_score(item.output, item.references).score for item in items
    )


def test_buckets_by_length_hold_every_item_once():
    buckets = by_length(ITEMS, "line_error_rate", bounds=[1, 4, 5])
    assert [(bucket.label, bucket.items, bucket.score.value) for bucket in buckets] == [
        ("0–1", 1, 100), ("2–4", 1, 100), ("5", 2, 50), ("6+", 1, 0),
    ]  # fmt: skip
    assert sum(bucket.items for bucket in by_length(ITEMS, "unit_error_rate")) == len(ITEMS)


def test_bleu_of_lines_shorter_than_four_words_is_of_the_ngrams_that_they_have():
    lines = ["yes", "no", "a dog", "a cat runs", "a dog runs", "a dog runs fast", "the cat sleeps now"]
    items = [Item(line, line, [line]) for line in lines]
    buckets = by_length(items, "bleu", bounds=[1, 2, 3])
    assert [bucket.score.value for bucket in buckets] == [pytest.approx(100)] * 4
    assert [bucket.note for bucket in buckets] == ["BLEU-1", "BLEU-2", "BLEU-3", ""]
    long = by_length([Item("a", "a dog", ["a dog runs fast"])], "bleu")[0]
    assert (long.score.value, long.note) == (0, "")
    assert compute(["bleu"], lines[:2], [[line] for line in lines[:2]])[0].value == 0
    assert by_length(items, "exact_match", bounds=[1])[0].note == ""


@given(st.lists(st.integers(min_value=0, max_value=3000), min_size=1))
def test_round_bounds_are_few_and_rise(lengths):
    bounds = round_bounds(lengths)
    assert 1 <= len(bounds) <= 9
    assert bounds == sorted(set(bounds))
    assert bounds[0] >= min(lengths)


def test_confusions_are_counted_against_the_nearest_reference():
    found = confusions(ITEMS, 5)
    assert (found[0].reference, found[0].output, found[0].count) == ("EH", "EY", 2)
    assert len(found) == 1
    assert [operation.kind for operation in operations(ITEMS[3])] == ["delete", "keep", "delete"]
