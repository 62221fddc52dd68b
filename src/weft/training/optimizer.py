"""The optimiser of a recipe: all parameters in one call, on a CPU and on a GPU."""

from __future__ import annotations

from typing import Any

import torch

from weft.recipe import Recipe

PRETRAINED = "encoder.pretrained."  # what its parameters' names begin with
PRETRAINED_RATE = 0.05


def make_optimizer(recipe: Recipe, network: torch.nn.Module) -> torch.optim.Optimizer:
    settings = recipe.training.optimizer
    trained = rated(recipe, network)
    if settings.kind == "sgd":
        whole = recipe.training.parallel == "data"  # PyTorch has no fused SGD for parts of matrices
        return torch.optim.SGD(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=whole)
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(
        trained,
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def rated(recipe: Recipe, network: torch.nn.Module) -> list[dict[str, Any]]:
    """The parameters that are trained, and the `part` of the learning rate that they are trained with."""
    encoder = recipe.model.encoder
    slow = (encoder.rate or PRETRAINED_RATE) if encoder.kind == "pretrained" else 1.0
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(slow if name.startswith(PRETRAINED) else 1.0, []).append(parameter)
    return [{"params": parameters, "part": part} for part, parameters in groups.items()]
