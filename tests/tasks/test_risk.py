"""Minimum Bayes risk by sacreBLEU, text by text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from weft.tasks.risk import by_utility, chrf, grams_of

texts = st.text("abcd é猫", max_size=12)


@settings(max_examples=150, deadline=None)
@given(output=texts, reference=texts)
def test_chrf_is_that_of_sacrebleu(output: str, reference: str) -> None:
    expected = CHRF().sentence_score(output, [reference]).score
    assert chrf(grams_of(output), grams_of(reference)) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(samples=st.lists(texts, min_size=1, max_size=8))
def test_the_best_is_the_one_most_like_the_samples(samples: list[str]) -> None:
    metric = CHRF()
    expected = [sum(metric.sentence_score(one, [other]).score for other in samples) / len(samples) for one in samples]
    found = by_utility(samples)
    assert sorted(samples[place] for place, _ in found) == sorted(set(samples))
    assert [utility for _, utility in found] == pytest.approx([expected[place] for place, _ in found])
    assert found[0][1] == pytest.approx(max(expected))
    assert [utility for _, utility in found] == sorted((utility for _, utility in found), reverse=True)
