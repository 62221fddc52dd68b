"""Relative positions made ready for search are those of the attention that learnt them."""

from __future__ import annotations

import math

import pytest
import torch

from weft.models.distances import Distances
from weft.nn.multi_head import RelativeSelfAttention
from weft.nn.position import Relative

B, D, H, d = 2, 12, 4, 3
lengths = pytest.mark.parametrize("length", [1, 2, 7, 40])
distances = pytest.mark.parametrize("distance", [1, 3, 16, 50])
groups = pytest.mark.parametrize("groups", [1, 2, 4])


def attention(distance: int, groups: int) -> RelativeSelfAttention:
    torch.manual_seed(1)
    made = RelativeSelfAttention(D, H, key_value_heads=groups, distance=distance).double().eval()
    torch.nn.init.eye_(made.out.weight)
    torch.nn.init.zeros_(made.out.bias)
    return made


def asked(module: RelativeSelfAttention, x: torch.Tensor, groups: int) -> tuple[torch.Tensor, ...]:
    """x (B,T,D) -> scaled queries (B,G,r,T,d), keys and values (B,G,T,d)."""
    queries = module.split(module.query(x) / math.sqrt(d)).unflatten(1, (groups, -1))
    return queries, *(module.split(part) for part in module.keys(x).chunk(2, -1))


@lengths
@distances
@groups
@torch.no_grad()
def test_all_positions_at_once(length: int, distance: int, groups: int) -> None:
    module = attention(distance, groups)
    x, mask = torch.randn(B, length, D).double(), torch.ones(B, 1, length, dtype=torch.bool)
    mask[1, :, (length + 1) // 2 :] = False
    expected, _ = module(x, mask=mask)
    queries, keys, values = (part.flatten(0, 1) for part in asked(module, x, groups))
    unseen = torch.zeros(B, 1, length).double().masked_fill(~mask, -torch.inf)
    read = Distances(module.relative).read(queries.flatten(1, 2), keys, values, unseen)
    read = read.view(B, H, length, d).transpose(1, 2).flatten(2)
    torch.testing.assert_close(read, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("mixed", [False, True])
@lengths
@distances
@groups
@torch.no_grad()
def test_the_newest_position(length: int, distance: int, groups: int, mixed: bool) -> None:
    module = attention(distance, groups)
    x = torch.randn(B, length, D).double()
    expected, _ = module(x, x.new_zeros(B, 0, 2 * groups * d))
    relative, by_place, (queries, keys, values) = Distances(module.relative), None, asked(module, x, groups)
    if mixed:
        when = torch.stack([torch.randperm(length) for _ in range(B)])
        by_place = relative.of_places(when, length - 1)
        keys, values = (part.gather(2, when[:, None, :, None].expand_as(part)) for part in (keys, values))
    newest, keys, values = queries[..., -1, :].flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1)
    weights = torch.softmax(relative.step_energy(newest, keys.transpose(1, 2), by_place), -1)
    read = relative.step_read(weights, values, by_place).view(B, D)
    torch.testing.assert_close(read, expected[:, -1], atol=1e-10, rtol=0)


def test_a_farthest_distance_that_no_output_reaches_takes_no_room() -> None:
    distances = Distances(Relative(200_000, 1))
    for position in (0, 3, 70):
        when = torch.arange(position + 1)[None]
        assert torch.equal(distances.of_places(when, position)[0], torch.eye(position + 1))
    assert len(distances.one) < 200
