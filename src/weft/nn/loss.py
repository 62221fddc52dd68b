"""Cross-entropy of a softmax layer whose scores are never whole in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 256  # rows whose scores stay in cache


class SmoothedCrossEntropy(torch.autograd.Function):
    """Sum over rows of the cross-entropy between softmax(W x + b) and the label, smoothed evenly over the vocabulary.

    Label smoothing is that of Szegedy et al. 2016, section 7. The gradient of a row's scores, softmax - smoothed
    label, is at hand as soon as they are, so it is made in the forward pass, chunk by chunk in one buffer. The even
    part of the label is the same for all rows: it needs the sums of rows and of weights only.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, gold: Tensor, smoothing: float) -> Tensor:
        """x (N,D), weight (V,D), bias (V,), gold (N,) -> scalar, in nats, in float32 at least."""
        wanted = any(ctx.needs_input_grad)
        kind, exact = x.dtype, torch.promote_types(x.dtype, torch.float32)
        device = x.device.type
        autocast = torch.is_autocast_enabled(device) and device != "cpu"
        product = torch.get_autocast_dtype(device) if autocast else exact
        x, weight, bias = x.to(product), weight.to(product), bias.to(product)
        grad_x = torch.empty_like(x) if wanted else None
        grad_weight = torch.zeros_like(weight, dtype=exact)
        grad_bias = torch.zeros_like(bias, dtype=exact)
        total = x.new_zeros((), dtype=exact)
        scores = x.new_empty(min(CHUNK, len(x)), len(weight))
        logs = torch.empty_like(scores, dtype=exact)
        even = smoothing / len(weight)
        for start in range(0, len(x), CHUNK):
            rows = slice(start, min(start + CHUNK, len(x)))
            count = rows.stop - start
            label = gold[rows, None]
            torch.mm(x[rows], weight.T, out=scores[:count]).add_(bias)
            chosen = scores[:count].gather(1, label).to(exact)
            log_probs = torch.log_softmax(scores[:count], -1, dtype=exact, out=logs[:count])
            log_sum = chosen - log_probs.gather(1, label)
            total += (log_sum - (1 - smoothing) * chosen).sum()
            if grad_x is None:
                continue
            grad = log_probs.exp_()
            grad.scatter_add_(1, label, grad.new_full(label.shape, smoothing - 1))
            grad_bias += grad.sum(0)
            grad = grad.to(product)
            torch.mm(grad, weight, out=grad_x[rows])
            if exact == product:
                grad_weight.addmm_(grad.T, x[rows])
            else:
                grad_weight += grad.T @ x[rows]
        if smoothing:
            all_rows, all_weights = x.sum(0, dtype=exact), weight.sum(0, dtype=exact)
            total -= even * ((all_rows * all_weights).sum() + len(x) * bias.sum(dtype=exact))
            if grad_x is not None:
                grad_x -= (even * all_weights).to(product)
                grad_weight -= even * all_rows
                grad_bias -= even * len(x)
        if grad_x is not None:
            ctx.save_for_backward(grad_x.to(kind), grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        scale = upstream[0]
        return grad_x * scale.to(grad_x.dtype), grad_weight * scale, grad_bias * scale, None, None
