"""How probable given outputs are."""

from __future__ import annotations

import torch
from torch import Tensor

from weft.data.batch import Padded
from weft.models.base import StepModel


@torch.inference_mode()
def score(model: StepModel, source: Padded, target: Padded, begin: int) -> list[list[float]]:
    """The log-probability of each token of each target (B,T), which ends with its end token."""
    fixed, state = model.start(source)
    tokens = torch.full((len(source),), begin, device=source.data.device)
    scores: list[Tensor] = []
    for time in range(target.data.size(1)):
        log_probs, _, state = model.step(tokens, state, fixed)
        tokens = target.data[:, time]
        scores.append(log_probs.gather(1, tokens[:, None]))
    rows = torch.cat(scores, 1).tolist()
    return [row[:length] for row, length in zip(rows, target.lengths.tolist(), strict=True)]
