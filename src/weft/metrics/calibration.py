"""How far probabilities are from what comes true."""

from __future__ import annotations

from collections.abc import Sequence

BINS = 10


def calibration_error(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Percent by which confidence differs from accuracy, over ten bins of equal width (Guo et al. 2017, equation 3).

    `probabilities` are those of the outputs that were given, `right` whether these are right.
    """
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for probability, is_right in zip(probabilities, right, strict=True):
        bins[min(BINS - 1, int(probability * BINS))].append((probability, is_right))
    gaps = (abs(sum(p for p, _ in inside) - sum(hit for _, hit in inside)) for inside in bins)
    return 100 * sum(gaps) / max(1, len(probabilities))
