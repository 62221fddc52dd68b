"""Tags read off the encoder: of each word, of the whole line, or both; on their own or in a linear chain.

B sentences, K hypotheses of each, N = B*K, S source length, W places that are tagged, T of them with the end,
M width of the memory, D of the model, V tags.

A linear-chain conditional random field (Lafferty et al. 2001) is the decoder that its exact factors make it: with
emissions e_t and transitions A, and all that may follow tag y at t summed in
    b_t(y) = log sum over y' of exp(A[y,y'] + e_{t+1}(y') + b_{t+1}(y')),
the next tag has
    p(y_t | y_{t-1}, x) = softmax over y_t of (A[y_{t-1},y_t] + e_t(y_t) + b_t(y_t)),
and the product of these is the field's p(y | x). So it trains, is searched and is scored as any other decoder.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.models.base import Decoder, Memory
from weft.nn.context import Transform
from weft.nn.dropout import Dropout
from weft.recipe import Context, TagDecoder


class Places(nn.Module):
    """Which states of the encoder a tag is read off: those of its word's pieces, all alike; those of the line."""

    def __init__(self, settings: TagDecoder, starts: Tensor | None) -> None:
        """`starts` (V,) are the source pieces that begin a word; None: each does."""
        super().__init__()
        self.of = settings.of
        self.register_buffer("starts", starts, persistent=False)
        self.starts: Tensor | None

    def forward(self, source: Padded, in_context: Tensor) -> Tensor:
        """source ids (B,S) whose last is the end, in_context (B,S) -> (B,T,S), zero beyond a sentence's places.

        `in_context` says how much of each state is in the fixed vector, which the line's tag is read off.
        """
        ids, real = source.data, source.mask()
        ends = torch.zeros_like(real)
        ends[torch.arange(len(ids), device=ids.device), source.lengths - 1] = True
        begins = ends.clone()
        if self.of != "line":
            begins |= real if self.starts is None else real & self.starts[ids]
            begins[:, 0] = True
            number = begins.cumsum(1) - 1
        else:
            number = torch.where(ends, 0, -1)
        count = int(begins.sum(1).max())
        each = (number[:, None] == torch.arange(count, device=ids.device)[:, None]) & real[:, None]
        weights = each.to(in_context.dtype)
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1)
        return weights if self.of == "words" else torch.cat([in_context[:, None], weights], 1)


class TagsFixed(NamedTuple):
    scores: Tensor  # (B,T,V) of each tag at each place, with all that may follow it
    places: Tensor  # (B,T,S)


class TagReader(Decoder[TagsFixed, Tensor]):
    """Takes tags as ids, and its features are their log-probabilities; its state (N,) is the step's number."""

    parallel = True

    def __init__(self, width: int, memory_width: int, size: int, settings: TagDecoder, context: Context) -> None:
        super().__init__()
        self.of = settings.of
        self.line = None if self.of == "words" else Transform(context.transform, memory_width, width)
        self.word = Transform("tanh", memory_width, width)
        self.dropout = Dropout(settings.dropout)
        self.emit = nn.Linear(width, size)
        self.transitions = nn.Parameter(torch.zeros(size, size)) if settings.chain else None
        self.temperature = nn.Parameter(torch.ones(1), requires_grad=False)  # fitted when training is over

    def init(self, memory: Memory) -> tuple[TagsFixed, Tensor]:
        assert memory.places is not None
        words = memory.places if self.line is None else memory.places[:, 1:]
        states = self.word(words @ memory.values)
        if self.line is not None:
            states = torch.cat([self.line(memory.context)[:, None], states], 1)
        scores = self.emit(self.dropout(states)) / self.temperature
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if self.transitions is not None:
            scores = scores + self.following(scores, (memory.places.sum(-1) > 0).sum(1))
        return TagsFixed(scores, memory.places), torch.zeros(len(scores), dtype=torch.long, device=scores.device)

    def following(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """b_t(y) of emissions (B,T,V), (B,T,V); zero at a sentence's last place."""
        assert self.transitions is not None
        follows = (self.transitions / self.temperature).exp().T
        after = torch.zeros_like(emissions[:, -1])
        found = [after]
        for time in range(emissions.size(1) - 1, 0, -1):
            onward = emissions[:, time] + after
            peak = onward.detach().amax(-1, keepdim=True)
            summed = ((onward - peak).exp() @ follows).clamp_min(torch.finfo(follows.dtype).tiny).log() + peak
            after = torch.where((lengths > time)[:, None], summed, 0.0)
            found.append(after)
        return torch.stack(found[::-1], 1)

    def step(self, x: Tensor, state: Tensor, fixed: TagsFixed) -> tuple[Tensor, Tensor | None, Tensor]:
        """x (N,) ids -> log-probabilities (N,V), weights (N,1,S), the next step's number."""
        sentences = torch.arange(len(x), device=x.device) // (len(x) // len(fixed.scores))
        time = state.clamp(max=fixed.scores.size(1) - 1)
        said = self.said(fixed.scores[sentences, time], x)
        return said, fixed.places[sentences, time, None], state + 1

    def forward(self, x: Tensor, memory: Memory, want_weights: bool = True) -> tuple[Tensor, Tensor | None]:
        """x (B,T) ids -> log-probabilities (B,T,V), weights (B,1,T,S)."""
        fixed, _ = self.init(memory)
        time = torch.arange(x.size(1), device=x.device).clamp(max=fixed.scores.size(1) - 1)
        return self.said(fixed.scores[:, time], x), fixed.places[:, None, time]

    def said(self, scores: Tensor, before: Tensor) -> Tensor:
        """scores (...,V), the tags before (...) -> log-probabilities (...,V)."""
        if self.transitions is not None:
            scores = scores + self.transitions[before] / self.temperature
        return torch.log_softmax(scores, -1)
