"""How much of a variational vector's divergence counts while training: little at first, and never all of it.

B items.
"""

from __future__ import annotations

import math

from weft.data.batch import Batch
from weft.models.seq2seq import Seen, Seq2Seq
from weft.recipe import Variational
from weft.training.feeding import Feeding

STEEPNESS = 12.0  # of the sigmoid, which goes from 0.002 to 0.998


def share(settings: Variational, step: int) -> float:
    """Of the weight, at a step counted from 1 (Bowman et al. 2016, section 3.1)."""
    done = step / settings.over
    if settings.annealing == "sigmoid":
        return 1 / (1 + math.exp(-STEEPNESS * (done - 0.5)))
    return min(1.0, done) if settings.annealing == "linear" else 1.0


class Annealed:
    """What another feeding gives, with so much of the divergence as counts at a step.

    Of each item so many nats are free: less than these has no gradient, and what is in the vector may stay in it
    (Kingma et al. 2016, appendix C.8, for each item as a whole and not for the mean of a batch, so that a batch may be
    split).
    """

    def __init__(self, feed: Feeding, settings: Variational, step: int) -> None:
        self.feed = feed
        self.share = share(settings, step)
        self.free = settings.free_bits

    def __call__(self, model: Seq2Seq, batch: Batch) -> Seen:
        seen = self.feed(model, batch)
        assert seen.divergence is not None
        return seen._replace(divergence=self.share * seen.divergence.clamp_min(self.free))
