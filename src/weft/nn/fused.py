"""Several matrices in one product."""

from __future__ import annotations

from torch import Tensor, nn


class Fused(nn.Linear):
    """`count` matrices of one shape on top of each other, over the same input: one product where there were several."""

    def __init__(self, width: int, out: int, count: int) -> None:
        super().__init__(width, count * out)
        self.count = count

    def apart(self) -> list[tuple[Tensor, Tensor]]:
        """Each matrix (out, width) with its bias (out,)."""
        return list(zip(self.weight.chunk(self.count), self.bias.chunk(self.count), strict=True))


def reset_linear(module: nn.Module) -> None:
    """Glorot-uniform matrices and zero biases, the fused ones each as a matrix of its own."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            for matrix in part.weight.data.chunk(part.count if isinstance(part, Fused) else 1):
                nn.init.xavier_uniform_(matrix)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
