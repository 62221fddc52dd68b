"""Where an image becomes a sequence of positions.

B images, C channels, H rows and W columns of pixels, R rows and L columns of the grid, S = R*L, E width.
"""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.nn.dropout import Dropout
from weft.recipe import ImageInput as Settings

GROUPS = 8  # of channels that are normalised together


class ImageInput(nn.Module):
    """A grid of features by convolutions (Xu et al. 2015, section 3.1.1) or by patches (Dosovitskiy et al. 2021).

    Each position is told its row and its column by a learned vector for each. Features are normalised within an
    image (Wu and He 2018), so that an image is the same in every batch.
    """

    def __init__(self, width: int, settings: Settings) -> None:
        super().__init__()
        self.rows, self.columns = settings.grid
        if settings.by == "patches":
            self.features: nn.Module = nn.Conv2d(settings.shape[0], width, settings.patch, settings.patch)
        else:
            self.features = convolutions(width, settings)
        self.row = nn.Parameter(torch.randn(width, self.rows, 1) * width**-0.5)
        self.column = nn.Parameter(torch.randn(width, 1, self.columns) * width**-0.5)
        self.dropout = Dropout(settings.dropout)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B,C,H,W) bytes -> (B,S,E), row by row."""
        grid: Tensor = self.features(pixels.to(self.row.dtype) / 127.5 - 1) + self.row + self.column
        values: Tensor = self.dropout(grid.flatten(2).transpose(1, 2))
        return values

    def sequence(self, source: Padded) -> Padded:
        """source.data (B,C,H,W) -> data (B,S,E)."""
        return Padded(self(source.data), source.lengths)


def convolutions(width: int, settings: Settings) -> nn.Sequential:
    """Convolution, pooling, normalisation and ReLU in each layer; then a matrix to the width."""
    layers: list[nn.Module] = []
    below = settings.shape[0]
    for channels, pool in zip(settings.channels, settings.pool, strict=True):
        layers += [
            nn.Conv2d(below, channels, 3, padding=1, bias=False),
            nn.MaxPool2d(pool),
            nn.GroupNorm(gcd(GROUPS, channels), channels),
            nn.ReLU(),
        ]
        below = channels
    return nn.Sequential(*layers, nn.Conv2d(below, width, 1))
