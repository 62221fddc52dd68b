"""Rules about lengths and tags."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from weft.search.rules import Exactly, Spans

CPU = torch.device("cpu")
TAGS = ["<pad>", "<unk>", "<s>", "</s>", "O", "B-NP", "I-NP", "B-VP", "I-VP", "flight"]


def test_the_end_comes_where_it_must_and_nowhere_else() -> None:
    rule = Exactly([2, 0], end=3, device=CPU)
    sentences = torch.tensor([0, 0, 1])
    begun = rule(torch.zeros(3, 5), torch.empty(3, 0, dtype=torch.long), sentences)
    assert begun[:2].isinf().tolist() == [[False, False, False, True, False]] * 2
    assert begun[2].isinf().tolist() == [True, True, True, False, True]
    over = rule(torch.zeros(2, 5), torch.full((2, 2), 4), torch.tensor([0, 0]))
    assert over.isinf().tolist() == [[True, True, True, False, True]] * 2


@given(st.sampled_from(range(4, len(TAGS))), st.sampled_from(range(4, len(TAGS))))
def test_the_inside_follows_its_own_kind(before: int, now: int) -> None:
    rule = Spans(TAGS, CPU)
    found = rule(torch.zeros(1, len(TAGS)), torch.tensor([[before]]), torch.tensor([0]))
    allowed = not TAGS[now].startswith("I-") or TAGS[before] in (TAGS[now], "B" + TAGS[now][1:])
    assert bool(found[0, now].isfinite()) == allowed


def test_no_line_begins_inside() -> None:
    found = Spans(TAGS, CPU)(torch.zeros(2, len(TAGS)), torch.empty(2, 0, dtype=torch.long), torch.tensor([0, 1]))
    assert [TAGS[i] for i in range(len(TAGS)) if found[0, i].isinf()] == ["I-NP", "I-VP"]
