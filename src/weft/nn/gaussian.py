"""A vector that is drawn: the Gaussian that an encoder tells, and how far that is from N(0,1).

B items, M width of what the encoder gives, D width of the vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gaussian(nn.Module):
    """q(z|x) = N(m, s^2), with m and log s^2 by one matrix (Kingma and Welling 2014, appendix C.2)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.moments = nn.Linear(width, 2 * out)
        self.out = out

    def forward(self, told: Tensor, draw: bool) -> tuple[Tensor, Tensor]:
        """told (B,M) -> a vector that is drawn, or the mean (B,D), and the divergence from N(0,1) (B,) in nats."""
        mean, log_variance = self.moments(told).chunk(2, -1)
        return drawn(mean, log_variance) if draw else mean, divergence(mean, log_variance)


def drawn(mean: Tensor, log_variance: Tensor) -> Tensor:
    """z = m + s e with e from N(0,1) (section 2.4): the gradient goes to m and s past the chance."""
    return mean + torch.exp(log_variance / 2) * torch.randn_like(mean)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, s^2) || N(0,1)), (B,D) each -> (B,) in nats (appendix B)."""
    return (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1) / 2
