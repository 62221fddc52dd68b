"""The whole contract between encoders, decoders and search, and nothing else.

B sentences, K hypotheses of each, N = B*K, S source length, T target length, Q queries, D width, E width of what
comes in, H heads, V vocabulary. Axis 0 of every tensor of every state is the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from weft.data.batch import Padded

Fixed = TypeVar("Fixed")
State = TypeVar("State")


@dataclass(frozen=True)
class Memory:
    """All that a decoder may know of the source."""

    values: Tensor  # (B,S,D)
    mask: Tensor  # (B,S) True = real
    context: Tensor  # (B,D) the fixed-length vector c; an encoder gives its last state
    compared: Tensor | None = None  # (B,S,D) what attention scores, where that is not `values` (ConvS2S)
    places: Tensor | None = None  # (B,T,S) what part each state has in what a tag is read off, for decoders of tags
    divergence: Tensor | None = None  # (B,) nats from N(0,1), of the Gaussian that the context is of

    @property
    def keys(self) -> Tensor:
        """(B,S,D) what attention scores."""
        return self.values if self.compared is None else self.compared


class Encoder(nn.Module):
    width: int  # D of the memory

    def forward(self, x: Padded) -> Memory:
        """x.data (B,S,E) -> Memory."""
        raise NotImplementedError


class Decoder(nn.Module, Generic[Fixed, State]):
    """`Fixed` is shared by all hypotheses of a sentence and never gathered; `State` is returned, never kept."""

    parallel: bool = False  # whether `forward` takes all steps at once

    def init(self, memory: Memory) -> tuple[Fixed, State]:
        """What stays the same while a sentence is decoded, and the state before its first token (B rows each)."""
        raise NotImplementedError

    def step(self, x: Tensor, state: State, fixed: Fixed) -> tuple[Tensor, Tensor | None, State]:
        """x (N,E) -> features (N,D), weights (N,H,S) or None, the next state (N rows)."""
        raise NotImplementedError

    def forward(self, x: Tensor, memory: Memory, want_weights: bool = True) -> tuple[Tensor, Tensor | None]:
        """x (B,T,E) -> features (B,T,D), weights (B,H,T,S) or None; without them some decoders are faster."""
        raise NotImplementedError


class Rows:
    """What is not a plain tensor, but has rows that `reorder` can pick."""

    def rows(self: Self, rows: Tensor) -> Self:
        """Rows `rows` (N,) of it; what there was may be written over."""
        raise NotImplementedError


class StepModel(Protocol):
    """What search needs of one model, an ensemble, a model with a language model.

    A state is stepped once: a model may write into what it shares with the next one.
    """

    def start(self, source: Padded) -> tuple[Any, Any]:
        """Fixed and State, B rows each, for source.data (B,S)."""

    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        """tokens (N,) -> log-probabilities (N,V), weights (N,H,S) or None, the next state."""


Tree = TypeVar("Tree")


def reorder(state: Tree, rows: Tensor) -> Tree:
    """Rows `rows` (N,) of every tensor in nested tuples, for every architecture."""
    reordered: Any = state
    if isinstance(state, Tensor):
        reordered = state.index_select(0, rows)
    elif isinstance(state, Rows):
        reordered = state.rows(rows)
    elif isinstance(state, tuple):
        parts = [reorder(part, rows) for part in state]
        reordered = type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return cast(Tree, reordered)


def last_of(values: Tensor, lengths: Tensor) -> Tensor:
    """(B,S,D) -> the state at each sentence's last real position, (B,D)."""
    return values[torch.arange(len(values), device=values.device), lengths - 1]


def per_sentence(x: Tensor, sentences: int) -> Tensor:
    """(N,D) -> (B,K,D): the hypotheses of a sentence become the queries that it is asked with."""
    return x.view(sentences, -1, x.size(-1))
