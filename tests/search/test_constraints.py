"""Phrases that outputs must hold, or must not, against enumeration of every output."""

from __future__ import annotations

import pytest
import torch
from enumeration import BEGIN, END, NO_OUTPUT, every_output, holds
from families import random_ids, small_model
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.data.batch import Padded
from weft.search.choosers import Beam, Live
from weft.search.constraints import Constrained
from weft.search.hypothesis import Limits
from weft.search.phrases import Phrase
from weft.search.rules import Never, NoRepeat, Prefixed, Without
from weft.search.run import search

CPU = torch.device("cpu")
WORDS = [4, 5, 6]


def plain(*phrases: list[int]) -> list[Phrase]:
    """Phrases that are written the same at the start of an output."""
    return [Phrase(ids, [BEGIN, *ids]) for ids in phrases]


def satisfies(tokens: list[int], phrases: list[Phrase]) -> bool:
    return all(any(holds([BEGIN, *tokens], form) for form in phrase) for phrase in phrases)


ASKED = [
    plain([4]),
    plain([4, 4]),
    plain([4, 5], [6]),
    plain([4, 5], [5, 6]),
    plain([4, 5, 4, 6]),
    plain([5], [5, 6], [6]),
    [Phrase([4, 5], [BEGIN, 5])],
    [Phrase([6], [BEGIN, 4, 4]), Phrase([5, 4], [BEGIN, 4])],
]


@pytest.mark.parametrize("phrases", ASKED, ids=str)
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_an_unbounded_beam_finds_the_best_that_holds_all(phrases: list[Phrase], penalty: float) -> None:
    model = small_model("gru", "pre", target=7)
    source = random_ids([4], 11)
    with torch.inference_mode():
        expected = [one for one in every_output(model, source, WORDS, 4, penalty) if satisfies(one[1], phrases)][:4]
    chooser = Constrained(130, [phrases], BEGIN, END, [4], CPU)
    (found,) = search(model, source, chooser, Limits(BEGIN, END, [4], penalty, n_best=4), [Never(NO_OUTPUT)])
    found = [h for h in found if h.finish_reason == "end"]
    assert [h.tokens for h in found] == [tokens for _, tokens in expected]
    assert [h.score for h in found] == pytest.approx([score for score, _ in expected])


@pytest.mark.parametrize("phrases", [[[4]], [[4, 5], [6]], [[5, 5], [4, 6, 4]]])
def test_an_unbounded_beam_finds_the_best_that_holds_none(phrases: list[list[int]]) -> None:
    model = small_model("gru", "pre", target=7)
    source = random_ids([4], 11)
    with torch.inference_mode():
        every = every_output(model, source, WORDS, 4, 1.0)
    expected = [tokens for _, tokens in every if not any(holds(tokens, phrase) for phrase in phrases)][:4]
    rules = [Never(NO_OUTPUT), Without([phrases], BEGIN, CPU)]
    (found,) = search(model, source, Beam(130), Limits(BEGIN, END, [4], n_best=4), rules)
    assert [h.tokens for h in found] == expected


def test_a_phrase_may_be_unwanted_at_the_start_only() -> None:
    model = small_model("gru", "pre", target=7)
    source = random_ids([4], 11)
    with torch.inference_mode():
        every = every_output(model, source, WORDS, 4, 1.0)
    expected = [tokens for _, tokens in every if tokens[:2] != [4, 5] and not holds(tokens, [6, 6])][:6]
    rules = [Never(NO_OUTPUT), Without([[[BEGIN, 4, 5], [6, 6]]], BEGIN, CPU)]
    (found,) = search(model, source, Beam(130), Limits(BEGIN, END, [4], n_best=6), rules)
    assert [h.tokens for h in found] == expected


words = st.integers(4, 8)
phrases = st.lists(st.lists(words, min_size=1, max_size=3), max_size=3)


@settings(max_examples=40, deadline=None)
@given(asked=st.tuples(phrases, phrases, phrases), width=st.integers(1, 6), seed=st.integers(0, 100))
def test_any_beam_holds_what_it_must(asked: tuple[list[list[int]], ...], width: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = small_model("gru", "gru")
    source = random_ids([3, 1, 5], 11)
    caps = [sum(map(len, one)) + 1 for one in asked]
    chooser = Constrained(width, [plain(*one) for one in asked], BEGIN, END, caps, CPU)
    found = search(model, source, chooser, Limits(BEGIN, END, caps, n_best=width), [Never(NO_OUTPUT)])
    for outputs, one in zip(found, asked, strict=True):
        assert outputs
        assert all(holds(h.tokens, phrase) for h in outputs for phrase in one)


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 6), room=st.integers(0, 2), seed=st.integers(0, 100))
def test_a_phrase_that_is_shorter_at_the_start_is_held_after_another_start(width: int, room: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, phrase = small_model("gru", "gru"), Phrase([4, 5, 6], [BEGIN, 7])
    cap = 4 + room
    chooser = Constrained(width, [[phrase]], BEGIN, END, [cap], CPU)
    rules = [Prefixed([[8]], [Never(NO_OUTPUT)], CPU)]
    (found,) = search(model, random_ids([3], 11), chooser, Limits(BEGIN, END, [cap], n_best=width), rules)
    assert all(satisfies(h.tokens, [phrase]) for h in found)


@settings(max_examples=30, deadline=None)
@given(asked=phrases, width=st.integers(1, 5), live=st.integers(1, 5), vocabulary=st.integers(9, 12))
def test_no_extension_is_a_candidate_twice(asked: list[list[int]], width: int, live: int, vocabulary: int) -> None:
    chooser = Constrained(width, [plain(*asked)], BEGIN, END, [9], CPU)
    lanes = torch.zeros(1, dtype=torch.long)
    totals = torch.where(torch.arange(width) < live, torch.randn(width), -torch.inf)[None]
    found = chooser.choose(
        torch.randn(1, width, vocabulary).log_softmax(-1), Live(totals, chooser.start(lanes), lanes), 0
    )
    alive = found.totals.isfinite()
    chosen = list(zip(found.parents[alive].tolist(), found.tokens[alive].tolist(), strict=True))
    assert len(set(chosen)) == len(chosen) >= width


@settings(max_examples=20, deadline=None)
@given(asked=phrases, width=st.integers(1, 5))
def test_a_line_finds_the_same_beside_lines_that_ask_for_more(asked: list[list[int]], width: int) -> None:
    model = small_model("gru", "pre")
    source = random_ids([3, 6, 5], 11)
    caps = [8, 12, 9]
    together = search(
        model,
        source,
        Constrained(width, [[], plain([4, 5, 6], [7, 8]), plain(*asked)], BEGIN, END, caps, CPU),
        Limits(BEGIN, END, caps, n_best=width),
        [Never(NO_OUTPUT)],
    )
    one, last = (
        Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1]) for row, length in ((0, 3), (2, 5))
    )
    (beam,) = search(model, one, Beam(width), Limits(BEGIN, END, [8], n_best=width), [Never(NO_OUTPUT)])
    assert [h.tokens for h in beam] == [h.tokens for h in together[0]]
    (alone,) = search(
        model,
        last,
        Constrained(width, [plain(*asked)], BEGIN, END, [9], CPU) if asked else Beam(width),
        Limits(BEGIN, END, [9], n_best=width),
        [Never(NO_OUTPUT)],
    )
    assert [h.tokens for h in alone] == [h.tokens for h in together[2]]


def test_what_the_prefix_holds_need_not_be_said_again() -> None:
    model = small_model("gru", "gru")
    source = random_ids([3], 11)
    rules = [Prefixed([[4, 5]], [Never([*NO_OUTPUT, 4])], CPU)]
    (found,) = search(
        model, source, Constrained(3, [plain([4, 5])], BEGIN, END, [6], CPU), Limits(BEGIN, END, [6], n_best=3), rules
    )
    assert all(h.tokens[:2] == [4, 5] and 4 not in h.tokens[2:] for h in found)


def test_what_cannot_be_said_leaves_an_output_that_is_marked() -> None:
    model = small_model("gru", "gru")
    rules = [Never(NO_OUTPUT), NoRepeat(1)]
    (found,) = search(
        model,
        random_ids([3], 11),
        Constrained(3, [plain([4, 4])], BEGIN, END, [6], CPU),
        Limits(BEGIN, END, [6]),
        rules,
    )
    assert [h.finish_reason for h in found] == ["length"]
