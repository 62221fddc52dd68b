"""The scripts of recipes/rnnlg: values leave acts and sentences and come back, and scores are the toolkit's."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import pytest
import sacrebleu

FOLDER = Path(__file__).parent.parent / "recipes" / "rnnlg"
LINES = [
    "inform(name='forbes island';kidsallowed=no;area='a or b')\tForbes island is in b and a , no children",
    "inform(name='ploy 2';kidsallowed='false';area=sunset)\tthere's ploy 2 in sunset",
    "?request(price_range)\twhat price range?",
    "goodbye()\tgoodbye",
    "?select(food=thai;food='none')\tthai or nothing",
]


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield SimpleNamespace(**run_path(str(FOLDER / "acts.py")))
    sys.modules.pop("acts", None)


def test_acts_and_sentences_lose_their_values(acts: SimpleNamespace) -> None:
    assert [(act.features, sentence) for act, sentence in acts.read_examples(LINES)] == [
        ("inform area=_1 kidsallowed=no name=_1", "SLOT_NAME is in SLOT_AREA , no child -s"),
        ("inform area=_1 kidsallowed=no name=_1", "there is SLOT_NAME in SLOT_AREA"),
        ("?request pricerange=?", "what price range ?"),
        ("goodbye", "goodbye"),
        ("?select food=_1 food=none", "SLOT_FOOD or nothing"),
    ]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("It costs 3.5 , ok?", "it costs 3.5 , ok ?"),
        ("the cafe 's street", "the cafe s street"),
        ("the cafe's street", "the cafe 's street"),
        ("165 steuart st", "165 steuart street"),
        ("i can't . . say", "i cannot . say"),
    ],
)
def test_sentences_are_written_one_way(acts: SimpleNamespace, sentence: str, expected: str) -> None:
    assert acts.normalized(sentence) == expected


def test_values_come_back_in_their_order(acts: SimpleNamespace) -> None:
    act = acts.read_act("?select(food=thai;food='sea food';name=a)")
    assert acts.lexicalized("SLOT_FOOD or SLOT_FOOD at SLOT_NAME a SLOT_TYPE in SLOT_AREA", act, "hotel") == (
        "thai or sea food at a a hotel in SLOT_AREA"
    )


def test_slots_that_are_missing_or_too_many_are_counted(acts: SimpleNamespace) -> None:
    act = acts.read_act("inform(name=a;area=b;kidsallowed=no;type=hotel)")
    assert acts.slot_errors("SLOT_NAME in SLOT_AREA allows no kids", act) == (3, 0, 0)
    assert acts.slot_errors("SLOT_NAME and SLOT_NAME near SLOT_NEAR takes dogs", act) == (3, 5, 3)
    assert acts.slot_errors("anything", acts.read_act("?select(food=a;food=b)")) == (0, 0, 0)
    assert acts.slot_errors("what area", acts.read_act("?request(area)")) == (0, 0, 0)


def test_bleu_of_one_output_each_is_that_of_sacrebleu(acts: SimpleNamespace) -> None:
    bleu = run_path(str(FOLDER / "score.py"))["bleu"]
    draw = random.Random(1)

    def line() -> str:
        return " ".join(draw.choices("abc", k=9))

    corpus = [([line()], [line(), line()]) for _ in range(30)]
    outputs, references = [hyps[0] for hyps, _ in corpus], list(zip(*(refs for _, refs in corpus), strict=True))
    expected = sacrebleu.corpus_bleu(outputs, references, tokenize="none", smooth_method="none").score
    assert 100 * bleu(corpus) == pytest.approx(expected, abs=1e-3)


def test_bleu_weighs_every_output_of_an_act(acts: SimpleNamespace) -> None:
    bleu = run_path(str(FOLDER / "score.py"))["bleu"]
    good, bad, reference = "a b c d e", "v w x y z", ["a b c d e"]
    assert bleu([([good], reference)]) == pytest.approx(1.0, abs=1e-5)
    assert bleu([([good, bad], reference)]) == pytest.approx(0.5, abs=1e-5)


def test_the_better_sentence_is_the_one_without_slot_errors(
    acts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = run_path(str(FOLDER / "score.py"))

    def predict(wanted: Any, **search: Any) -> list[SimpleNamespace]:
        assert search == {"n_best": 20, "beam": 20}
        others = [SimpleNamespace(text="SLOT_NAME is nice", score=-2.0), SimpleNamespace(text="SLOT_NAME", score=-3.0)]
        return [SimpleNamespace(text="it is nice", score=-0.1, alternatives=others) for _ in wanted]

    monkeypatch.setattr(script["weft"], "load", lambda folder: SimpleNamespace(predict=predict))
    act = acts.read_act("inform(name=a)")
    ranked = script["ranked_sentences"]("run", {act.features: act})
    assert ranked == {"inform name=_1": ["SLOT_NAME is nice", "it is nice", "SLOT_NAME"]}
