"""What a decoder is fed while it trains: the target's tokens, or what it said itself.

B sentences, T target length, D width of features, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from weft.data.batch import Batch
from weft.models.base import Memory
from weft.models.seq2seq import Seen, Seq2Seq
from weft.recipe import Feeding as Settings


class Feeding(Protocol):
    def __call__(self, model: Seq2Seq, batch: Batch) -> Seen:
        """What the loss is of, against batch.gold."""


def feeding(settings: Settings, step: int) -> Feeding:
    """What is fed at a step, counted from 1."""
    share = probability(settings, step)
    return teacher_forcing if share == 1.0 else OwnTokens(share, settings.choose == "sample")


def probability(settings: Settings, step: int) -> float:
    """Of feeding a token of the target (Bengio et al. 2015, section 2.4), down to `least`."""
    if settings.kind != "scheduled_sampling":
        return 1.0 if settings.kind == "teacher_forcing" else 0.0
    if settings.decay == "linear":
        return max(settings.least, 1 - (1 - settings.least) * step / settings.over)
    if settings.decay == "exponential":
        return max(settings.least, float(0.5 ** (step / settings.over)))
    k = half_after(settings.over)
    return max(settings.least, k / (k + math.exp(min(700.0, step / k))))


def half_after(steps: int) -> float:
    """The k with which k / (k + exp(i/k)) is a half at i = steps: k ln k = i, by Newton's method."""
    k = 2.0 + steps / max(1.0, math.log(1 + steps))
    for _ in range(50):
        k -= (k * math.log(k) - steps) / (math.log(k) + 1)
    return k


def teacher_forcing(model: Seq2Seq, batch: Batch) -> Seen:
    return model.seen(batch)


class OwnTokens:
    """Each token is the target's with a probability, and otherwise what the model says in its place.

    A decoder that goes step by step is fed what it has just said (Bengio et al. 2015). One that takes all steps at once
    says everything after the target first, and is then fed a mixture of both (Mihaylova & Martins 2019, section 3).
    The target is followed to its end, whatever the model says: an end that it says too early is a token like others.
    """

    def __init__(self, share: float, sampled: bool) -> None:
        self.share = share
        self.sampled = sampled

    def __call__(self, model: Seq2Seq, batch: Batch) -> Seen:
        memory = model.encode(batch.source, draw=True)
        if model.decoder.parallel:
            return self.in_two_passes(model, memory, batch)
        return self.step_by_step(model, memory, batch)

    def step_by_step(self, model: Seq2Seq, memory: Memory, batch: Batch) -> Seen:
        fixed, state = model.decoder.init(memory)
        target, source = batch.fed.data, batch.source.data
        tokens, all_features, all_weights = target[:, 0], [], []
        types = model.target_input.types()
        for time in range(target.size(1)):
            features, weights, state = model.decoder.step(model.target_input(tokens, types), state, fixed)
            all_features.append(features)
            if weights is not None:
                all_weights.append(weights)
            if time + 1 < target.size(1):
                tokens = self.mixed(target[:, time + 1], self.said(model, features, weights, source))
        weights = torch.stack(all_weights, 2) if all_weights else None
        return Seen(torch.stack(all_features, 1), weights, memory.divergence)

    def in_two_passes(self, model: Seq2Seq, memory: Memory, batch: Batch) -> Seen:
        needs, target = model.output.needs_weights, batch.fed.data
        with torch.no_grad():
            features, weights = model.decoder(model.target_input(target), memory, needs)
            sources = batch.source.data.repeat_interleave(target.size(1), 0) if needs else batch.source.data
            rows = None if weights is None else weights.transpose(1, 2).flatten(0, 1)
            said = self.said(model, features.flatten(0, 1), rows, sources).view(target.shape)
        fed = torch.cat([target[:, :1], self.mixed(target[:, 1:], said[:, :-1])], 1)
        features, weights = model.decoder(model.target_input(fed), memory, needs)
        return Seen(features, weights, memory.divergence)

    @torch.no_grad()
    def said(self, model: Seq2Seq, features: Tensor, weights: Tensor | None, source: Tensor) -> Tensor:
        """features (N,D) -> tokens (N,)."""
        log_probs = model.output(features, weights, source)
        if self.sampled:  # as torch.multinomial draws, which would end the run where a probability is no number
            log_probs = log_probs.exp() / torch.empty_like(log_probs).exponential_()
        said: Tensor = log_probs.argmax(-1)
        return said

    def mixed(self, target: Tensor, said: Tensor) -> Tensor:
        return torch.where(torch.rand(target.shape, device=target.device) < self.share, target, said)
