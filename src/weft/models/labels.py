"""Any number of labels for a line, read off its vector: each is there or not, whatever the others are.

B sentences, K hypotheses of each, N = B*K, S source length, M width of the memory, D of the model, V vocabulary of the
target, L = V - 4 labels: all that is in it but the special pieces.

With p_l = sigmoid(z_l) a set Y of labels has the probability
    p(Y | x) = product over l in Y of p_l * product over the others of (1 - p_l).
To a search, that is an output of L tokens and the end: label l, or that it is not there (`NOT`), in the order of the
vocabulary. Each step has two tokens that may be said, so that any search finds the p_l above a half; the loss is the
binary cross-entropy.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.data.vocabulary import SPECIAL, Vocabulary
from weft.models.base import Decoder, Memory
from weft.nn.context import Transform
from weft.nn.dropout import Dropout
from weft.recipe import Context, LabelDecoder

FIRST = len(SPECIAL)  # the id of the first label
NOT = Vocabulary.pad


def told(labels: Collection[int], size: int) -> list[int]:
    """What a search says of these labels' ids, with V = `size`: each id from the first on, or NOT in its place."""
    return [i if i in labels else NOT for i in range(FIRST, size)]


class Whole(nn.Module):
    """Labels are read off the fixed vector, and so off as much of each state as is in that."""

    def forward(self, source: Padded, in_context: Tensor) -> Tensor:
        """in_context (B,S) -> (B,1,S)."""
        return in_context[:, None]


class LabelsFixed(NamedTuple):
    scores: Tensor  # (B,L) z
    places: Tensor  # (B,1,S)


class LabelReader(Decoder[LabelsFixed, Tensor]):
    """Its features are a label's score and number; its state (N,) is the step's number, and it needs no tokens."""

    parallel = True

    def __init__(self, width: int, memory_width: int, size: int, settings: LabelDecoder, context: Context) -> None:
        super().__init__()
        self.line = Transform(context.transform, memory_width, width)
        self.dropout = Dropout(settings.dropout)
        self.emit = nn.Linear(width, size)  # a row for each piece, as all outputs have; the first four are not used
        self.temperature = nn.Parameter(torch.ones(1), requires_grad=False)  # fitted when training is over

    def init(self, memory: Memory) -> tuple[LabelsFixed, Tensor]:
        assert memory.places is not None
        scores = self.emit(self.dropout(self.line(memory.context)))[:, FIRST:] / self.temperature
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return LabelsFixed(scores, memory.places), torch.zeros(len(scores), dtype=torch.long, device=scores.device)

    def step(self, x: Tensor, state: Tensor, fixed: LabelsFixed) -> tuple[Tensor, Tensor | None, Tensor]:
        """x (N,) -> z and the number of the step's label (N,2), weights (N,1,S), the next step's number."""
        sentences = torch.arange(len(x), device=x.device) // (len(x) // len(fixed.scores))
        scores = F.pad(fixed.scores, (0, 1))[sentences, state.clamp(max=fixed.scores.size(1))]
        return torch.stack([scores, state.to(scores.dtype)], -1), fixed.places[sentences], state + 1

    def forward(self, x: Tensor, memory: Memory, want_weights: bool = True) -> tuple[Tensor, Tensor | None]:
        """x (B,T) -> (B,L+1,2) and weights (B,1,L+1,S), of all labels and the end, whatever T is."""
        fixed, _ = self.init(memory)
        scores = F.pad(fixed.scores, (0, 1))
        steps = torch.arange(scores.size(1), device=scores.device, dtype=scores.dtype).expand_as(scores)
        weights = fixed.places[:, None].expand(-1, -1, scores.size(1), -1)
        return torch.stack([scores, steps], -1), weights


class LabelOutput(nn.Module):
    """Which token is said for a label's score, and the binary cross-entropy of all labels."""

    needs_weights = False

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, features: Tensor, weights: Tensor | None = None, source: Tensor | None = None) -> Tensor:
        """features (N,2) -> log-probabilities (N,V): of the step's label and of NOT; after the last, of the end."""
        score, step = features[:, :1], features[:, 1:].long()
        over = step >= self.size - FIRST
        said = features.new_full((len(features), self.size), -torch.inf)
        said = said.scatter(1, (step + FIRST).clamp(max=self.size - 1), F.logsigmoid(score))
        said[:, NOT] = F.logsigmoid(-score[:, 0])
        ended = torch.full_like(said, -torch.inf)
        ended[:, Vocabulary.eos] = 0.0
        return torch.where(over, ended, said)

    def loss(
        self,
        features: Tensor,
        gold: Padded,
        smoothing: float,
        weights: Tensor | None = None,
        source: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """features (B,L+1,2), gold (B,T) the ids that are there, in any order -> as SoftmaxOutput.loss.

        What is summed are the cross-entropies of all labels, there or not; what is counted, as everywhere, the target's
        tokens. Smoothing s makes 1 - s/2 and s/2 of there and not there.
        """
        scores = features[:, :-1, 0]
        there = scores.new_zeros(len(scores), self.size).scatter(1, gold.data * gold.mask(), 1.0)[:, FIRST:]
        wanted = there * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(scores, wanted, reduction="sum"), gold.mask().sum()
