"""A vector that is drawn has the moments that it was told, and its divergence is that of the two Gaussians."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck
from torch.distributions import Normal, kl_divergence

from weft.nn.gaussian import Gaussian, divergence, drawn


def moments(count: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mean, log_variance = (torch.randn(count, width, dtype=torch.double, requires_grad=True) for _ in range(2))
    return mean, log_variance


def test_the_divergence_is_that_of_the_two_gaussians() -> None:
    mean, log_variance = moments(5, 4)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(divergence(mean, log_variance), expected)
    assert (divergence(torch.zeros(1, 3), torch.zeros(1, 3)) == 0).all()


def test_gradients_go_past_the_chance() -> None:
    mean, log_variance = moments(2, 3)
    assert gradcheck(divergence, (mean, log_variance))

    def seeded(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(2)
        return drawn(mean, log_variance)

    assert gradcheck(seeded, (mean, log_variance))


def test_what_is_drawn_has_the_moments_that_were_told() -> None:
    torch.manual_seed(3)
    gaussian = Gaussian(4, 2).double()
    told = torch.randn(1, 4, dtype=torch.double).expand(20_000, -1)
    mean, nats = gaussian(told, draw=False)
    vectors, nats_of_drawn = gaussian(told, draw=True)
    torch.testing.assert_close(vectors.mean(0), mean[0], atol=0.03, rtol=0)
    variance = gaussian.moments(told[:1])[0, 2:].exp()
    torch.testing.assert_close(vectors.var(0), variance, atol=0, rtol=0.05)
    torch.testing.assert_close(nats, nats_of_drawn)
