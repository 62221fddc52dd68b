"""Diverse beam search against the paper's algorithm, hypothesis by hypothesis."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import NamedTuple

import pytest
import torch
from enumeration import BEGIN, END, NO_OUTPUT, log_probs
from families import random_ids, small_model

from weft.data.batch import Padded
from weft.search.choosers import Beam
from weft.search.diverse import Diverse
from weft.search.hypothesis import Limits
from weft.search.rules import Never
from weft.search.run import search


class Said(NamedTuple):
    total: float  # with what diversity took away
    tokens: tuple[int, ...]
    log_prob: float


def reference(
    model: object, source: Padded, groups: int, width: int, diversity: float, cap: int
) -> list[tuple[bool, float, list[int]]]:
    """Vijayakumar et al. 2018, algorithm 1: (ended, score, tokens) of all groups together, best first."""

    @cache
    def next_log_probs(tokens: tuple[int, ...]) -> list[float]:
        row = log_probs(model, source, tokens)[-1].tolist()
        return [-math.inf if token in NO_OUTPUT else p for token, p in enumerate(row)]

    beams = [[Said(0.0, (), 0.0)] for _ in range(groups)]
    ended: list[list[Said]] = [[] for _ in range(groups)]
    cut_off: list[Said] = []
    for time in range(cap + 1):
        chosen: Counter[int] = Counter()
        for group in range(groups):
            if not beams[group]:
                continue
            extended = [
                Said(one.total + p - diversity * chosen[token], (*one.tokens, token), one.log_prob + p)
                for one in beams[group]
                for token, p in enumerate(next_log_probs(one.tokens))
                if p > -math.inf
            ]
            extended.sort(key=lambda one: -one.total)
            chosen.update(one.tokens[-1] for one in extended[:width])
            ended[group] += [one for one in extended[:width] if one.tokens[-1] == END]
            if time == cap:
                known = [one.tokens[:-1] for one in ended[group]]
                left = [one for one in beams[group] if one.tokens not in known]
                cut_off += left[: max(0, width - len(ended[group]))]
            beams[group] = [one for one in extended if one.tokens[-1] != END][:width]
            if len(ended[group]) >= width:
                beams[group] = []
    found = {}
    for one in [one for group in ended for one in group]:
        tokens = one.tokens[:-1]
        found[tokens] = (True, one.log_prob / max(1, len(tokens)), list(tokens))
    for one in cut_off:
        found.setdefault(one.tokens, (False, one.log_prob / max(1, len(one.tokens)), list(one.tokens)))
    return sorted(found.values(), reverse=True)


@pytest.mark.parametrize(("groups", "width"), [(3, 1), (2, 2), (4, 3), (1, 3)])
@pytest.mark.parametrize("diversity", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_groups_are_those_of_the_paper(groups: int, width: int, diversity: float, seed: int) -> None:
    torch.manual_seed(seed)
    model = small_model("gru", "pre", target=8)
    source = random_ids([4, 2], 11)
    caps = [4, 5]
    found = search(
        model,
        source,
        Diverse(width, groups, diversity),
        Limits(BEGIN, END, caps, n_best=groups * width),
        [Never(NO_OUTPUT)],
    )
    for row, (length, cap) in enumerate(zip(source.lengths.tolist(), caps, strict=True)):
        alone = Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1])
        with torch.inference_mode():
            expected = reference(model, alone, groups, width, diversity, cap)
        assert [(h.finish_reason == "end", h.tokens) for h in found[row]] == [(end, ids) for end, _, ids in expected]
        assert [h.score for h in found[row]] == pytest.approx([score for _, score, _ in expected])


def test_one_group_is_a_beam() -> None:
    model = small_model("pre", "gru")
    source = random_ids([4, 2, 6], 11)
    limits = Limits(BEGIN, END, [6, 6, 6])
    one, other = (search(model, source, chooser, limits) for chooser in (Diverse(4, 1, 0.7), Beam(4)))
    assert [h[0].tokens for h in one] == [h[0].tokens for h in other]


def test_groups_that_must_differ_do() -> None:
    model = small_model("gru", "gru")
    found = search(
        model, random_ids([4], 11), Diverse(1, 4, 100.0), Limits(BEGIN, END, [5], n_best=4), [Never([*NO_OUTPUT, END])]
    )
    firsts, seconds = ({h.tokens[t] for h in found[0]} for t in (0, 1))
    assert len(firsts) == len(seconds) == 4


def test_the_best_does_not_depend_on_how_many_are_asked_for() -> None:
    model = small_model("gru", "gru", target=6)
    source = random_ids([3, 5], 11)
    one, all_of_them = (
        search(model, source, Diverse(2, 3, 0.5), Limits(BEGIN, END, [5, 5], n_best=n), [Never(NO_OUTPUT)])
        for n in (1, 6)
    )
    assert [found[0].tokens for found in one] == [found[0].tokens for found in all_of_them]
