"""Relative positions (Shaw et al. 2018, equations 3 and 4), made ready for search: no vector for each pair of places.

B sentences, K hypotheses, S source length; H heads, G heads of keys and values, r = H/G, d width of a head; U places of
what was said, T distances.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from weft.nn.position import Relative

LEAST = 32  # positions to either side


class Table:
    """A vector for each distance, in their order; the farthest goes on as far as sentences reach."""

    def __init__(self, learnt: Tensor) -> None:
        """learnt (2k+1,d), of the distances -k to k."""
        self.learnt = learnt.detach()
        self.rows = self.reaching(LEAST)

    def reaching(self, positions: int) -> Tensor:
        farthest = len(self.learnt) // 2
        distances = torch.arange(-positions, positions + 1).clamp_(-farthest, farthest)
        return self.learnt[distances + farthest]

    def between(self, first: int, last: int) -> Tensor:
        """Of the distances first, first + 1, ..., last, (T,d)."""
        rows, farthest = self.rows, max(-first, last)
        if 2 * farthest >= len(rows):
            rows = self.rows = self.reaching(2 * farthest)
        return rows.narrow(0, len(rows) // 2 + first, last + 1 - first)


class Distances:
    """What one layer adds to keys and to values."""

    def __init__(self, relative: Relative) -> None:
        self.farthest = relative.distance
        self.keys, self.values = Table(relative.keys), Table(relative.values)
        self.one = torch.eye(min(LEAST, self.farthest + 1), dtype=relative.keys.dtype)  # as far as outputs reach

    def of_places(self, when: Tensor, position: int) -> Tensor:
        """when (B,U), positions no later than `position` -> (B,U,T), 1 at the distance from it, the farthest first."""
        count, one = min(position, self.farthest) + 1, self.one
        if count > len(one):
            one = self.one = torch.eye(min(2 * count, self.farthest + 1), dtype=one.dtype)
        return torch.embedding(one[-count:, -count:], (when - (position + 1 - count)).clamp_min_(0))

    def step_energy(self, queries: Tensor, keys: Tensor, distances: Tensor | None) -> Tensor:
        """q (k_u + a^K_u) of the newest position: queries (B*G,Kr,d), keys (B*G,d,U) -> (B*G,Kr,U).

        The places stand in the order of their positions, or `distances` (B,U,T) has the distance of each.
        """
        if distances is None:
            return F.linear(queries, self.keys.between(1 - keys.size(2), 0)).baddbmm_(queries, keys)
        sentences, places, count = distances.shape
        by_distance = F.linear(queries, self.keys.between(1 - count, 0)).view(sentences, -1, count)
        energy = torch.bmm(queries, keys)
        energy.view(sentences, -1, places).baddbmm_(by_distance, distances.transpose(1, 2))
        return energy

    def step_read(self, weights: Tensor, values: Tensor, distances: Tensor | None) -> Tensor:
        """The sum over u of alpha_u (v_u + a^V_u): weights (B*G,Kr,U), values (B*G,U,d) -> (B*G,Kr,d)."""
        if distances is None:
            return torch.matmul(weights, self.values.between(1 - weights.size(2), 0)).baddbmm_(weights, values)
        sentences, places, count = distances.shape
        near = torch.bmm(weights.view(sentences, -1, places), distances).view(*weights.shape[:2], count)
        return torch.matmul(near, self.values.between(1 - count, 0)).baddbmm_(weights, values)

    def read(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Of all positions: queries (B*G,rS,d), keys and values (B*G,S,d), mask (B,1,S), 0 or -inf -> (B*G,rS,d).

        The product with a table has a row of 2S-1 distances for each query, the i-th with place j at j-i+S-1. In a row
        after the other that is the number S-1 + (2S-2)i + j: a view with other strides has the places.
        """
        length = keys.size(1)
        shape = (queries.size(0) * queries.size(1) // length, length, length)
        strides = (length * (2 * length - 1), 2 * length - 2, 1)
        by_distance = F.linear(queries, self.keys.between(1 - length, length - 1))
        by_place = by_distance.as_strided(shape, strides, length - 1).reshape(*queries.shape[:2], length)
        energy = by_place.baddbmm(queries, keys.transpose(1, 2))
        if mask is not None:
            energy.view(len(mask), -1, length).add_(mask)
        weights = torch.softmax(energy, -1)
        by_distance.zero_().as_strided(shape, strides, length - 1).copy_(weights.view(shape))
        return torch.matmul(by_distance, self.values.between(1 - length, length - 1)).baddbmm_(weights, values)
