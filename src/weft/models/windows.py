"""Convolutional Neural Networks for Sentence Classification (Kim 2014): windows of several widths, one layer.

B sentences, S source length, E width of the embeddings, C channels of each width, D = C times the number of widths.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.models.base import Encoder, Memory, last_of
from weft.recipe import WindowEncoder as Settings


class WindowEncoder(Encoder):
    """f(w . x_{i:i+h-1} + b) of every h neighbours, f = ReLU, for each width h (equation 2); D side by side.

    A window stands on each word, and beyond the sentence there are zeros. The paper's maximum over time (equation 3)
    is that of the context.
    """

    def __init__(self, width: int, settings: Settings, position_scale: float = 1.0) -> None:
        super().__init__()
        self.width = settings.channels * len(settings.widths)
        self.windows = nn.ModuleList(nn.Conv1d(width, settings.channels, size) for size in settings.widths)
        self.margins = [((size - 1) // 2, size // 2) for size in settings.widths]

    def forward(self, x: Padded) -> Memory:
        mask = x.mask()
        values = F.relu(self.found(x.data.masked_fill(~mask[..., None], 0.0)))
        return Memory(values, mask, last_of(values, x.lengths))

    def found(self, embedded: Tensor) -> Tensor:
        """(B,S,E) -> (B,S,D)."""
        along = embedded.transpose(1, 2)
        each = [window(F.pad(along, margin)) for window, margin in zip(self.windows, self.margins, strict=True)]
        return torch.cat(each, 1).transpose(1, 2)
