"""How the processes that train together hold the network: one alone, each all of it, or each a part of it.

`network` is the whole one, which is validated and saved; `trained` is what the optimiser changes, under the same names.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from weft.data.batch import Batch
from weft.errors import WeftError
from weft.models.directory import parameters
from weft.models.forecaster import Forecaster
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer import DecoderLayer, EncoderLayer
from weft.recipe import Recipe
from weft.training.distributed import Processes

Network = Seq2Seq | Forecaster
Feed = Callable[..., Any]  # what the network takes to be fed by


class Single:
    """All of it in the one process that there is."""

    retries = True  # whether a gradient that memory did not suffice for can be made again

    def __init__(self, network: Network, device: torch.device) -> None:
        self.network = network.to(device)
        self.trained: Network = self.network
        self.device = device

    def passes(self, batch: Batch, parts: int, _rows: int) -> Iterator[tuple[Batch, float]]:
        """The micro-batches of this process, of which each may have `_rows` pairs at most, and what each counts."""
        return ((part, 1.0) for part in batch.parts(parts))

    def loss(self, part: Batch, smoothing: float, feed: Feed) -> Tensor:
        return self.trained.loss(part, smoothing, feed)[0]

    def reduce(self) -> None:
        """Put the mean of all processes' gradients in the place of each one's own."""

    def clip(self, most: float | None) -> float:
        """The norm of the gradient, which is afterwards no longer than `most`."""
        norm = torch.nn.utils.clip_grad_norm_(self.trained.parameters(), most or math.inf, foreach=True)
        return float(whole(norm))

    def gather(self) -> None:
        """Bring `network` up to what has been trained, in the first process."""

    def spread(self, optimizer: torch.optim.Optimizer) -> None:
        """Begin from the weights of `network`, and from the whole moments that the optimiser was given."""

    def moments(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Those of every parameter, whole, named `exp_avg.<parameter>` and so on."""
        return {
            f"{kind}.{name}": whole(value)
            for name, parameter in parameters(self.trained).items()
            for kind, value in optimizer.state.get(parameter, {}).items()
        }


class Replicated(Single):
    """All of it in each process. Each makes the gradient of its part of the batch; then DDP takes their mean.

    The gradients meet after all passes, and not during the last of them, because before that the processes agree on
    whether memory has sufficed in each: one that has run out of it in the middle would leave the others waiting.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        super().__init__(network, device)
        self.reducer = DistributedDataParallel(
            Gradients(self.network), find_unused_parameters=True, gradient_as_bucket_view=True
        )

    def reduce(self) -> None:
        self.reducer().backward()


class Gradients(nn.Module):
    """Gives a number whose gradient adds nothing to those that are there; DDP reduces them on its way.

    A parameter without a gradient was not used, and where it was used nowhere it stays without one. A process without
    any pair has none at all, and comes with an idle parameter.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.idle = nn.Parameter(next(network.parameters()).detach().new_zeros(()))

    def forward(self) -> Tensor:
        used = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        found: Tensor = Nothing.apply(*(used or [self.idle]))
        return found


class Nothing(torch.autograd.Function):
    """0, whatever the parameters are."""

    @staticmethod
    def forward(ctx: Any, *used: Tensor) -> Tensor:
        ctx.number = len(used)
        return used[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_upstream: Tensor) -> tuple[None, ...]:
        nothing: tuple[None, ...] = (None,) * ctx.number
        return nothing


class Sharded(Single):
    """A part of each matrix in each process, put together where a layer is run (FSDP2, Zhao et al. 2023).

    Every pass is one of all processes: who has fewer micro-batches takes part with a spare one that counts nothing. A
    whole copy is kept beside it for validation: on the device of the first process, in main memory of the others.
    """

    retries = False

    def __init__(self, network: Network, device: torch.device, processes: Processes, spare: Batch) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        self.trained = copy.deepcopy(network.cpu())
        self.network = network.to(device) if processes.first else network
        self.device = device
        self.processes = processes
        self.spare = spare
        mesh = init_device_mesh(device.type, (processes.number,))
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        for layer in self.trained.modules():
            if isinstance(layer, DecoderLayer) and layer.attention is not None:
                fully_shard(layer.attention, mesh=mesh)
                for method in ("of", "look"):
                    register_fsdp_forward_method(layer.attention, method)
            if isinstance(layer, DecoderLayer | EncoderLayer):
                fully_shard(layer, mesh=mesh)
        self.root = Loss(self.trained)
        scalars = {
            parameter for parameter in self.trained.parameters() if not (parameter.dim() or parameter.requires_grad)
        }
        for scalar in scalars:  # have no parts; one that is not trained is the same in all processes
            scalar.data = scalar.data.to(device)
        fully_shard(self.root, mesh=mesh, ignored_params=scalars)

    def passes(self, batch: Batch, parts: int, rows: int) -> Iterator[tuple[Batch, float]]:
        mine = batch.parts(parts)
        yield from ((part, 1.0) for part in mine)
        yield from ((self.spare, 0.0) for _ in range(min(parts, rows) - len(mine)))

    def loss(self, part: Batch, smoothing: float, feed: Feed) -> Tensor:
        found: Tensor = self.root(part, smoothing, feed)
        return found

    @torch.no_grad()
    def gather(self) -> None:
        into = parameters(self.network)
        for name, parameter in parameters(self.trained).items():
            gathered = whole(parameter)
            if self.processes.first:
                into[name].copy_(gathered)

    def moments(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        found = {}
        for name, parameter in parameters(self.trained).items():
            for kind, value in optimizer.state.get(parameter, {}).items():
                gathered = whole(value)
                if self.processes.first:
                    found[f"{kind}.{name}"] = gathered.cpu()
        return found

    @torch.no_grad()
    def spread(self, optimizer: torch.optim.Optimizer) -> None:
        wholes = parameters(self.network)
        for name, parameter in parameters(self.trained).items():
            parameter.copy_(self.part(wholes[name], parameter))
            state = optimizer.state.get(parameter, {})
            for kind, value in state.items():
                if kind != "step":
                    state[kind] = self.part(value, parameter)

    def part(self, tensor: Tensor, like: Tensor) -> Tensor:
        """What this process holds of it, by the same cut as another's."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(like, DTensor):
            return tensor
        return distribute_tensor(tensor.to(self.device), like.device_mesh, like.placements, src_data_rank=None)


class Loss(nn.Module):
    """The summed loss as a module, for which FSDP puts together what is in no layer."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, part: Batch, smoothing: float, feed: Feed) -> Tensor:
        return self.network.loss(part, smoothing, feed)[0]


def whole(tensor: Tensor) -> Tensor:
    """All of it; where each process has a part, all of them must ask."""
    full = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


def parallel(
    recipe: Recipe, network: Network, device: torch.device, processes: Processes, spare: Callable[[], Batch]
) -> Single:
    """As training.parallel says; `spare` gives a pair to run where a process has none."""
    if processes.alone:
        return Single(network, device)
    if recipe.training.parallel == "data":
        with processes.phase("spreading the weights"):
            return Replicated(network, device)
    with processes.phase("sharding the weights"):
        return Sharded(network, device, processes, spare().to(device))


def check(recipe: Recipe, processes: Processes) -> None:
    """WeftError where so many processes cannot train by this recipe."""
    training, model = recipe.training, recipe.model
    if recipe.data.series and not processes.alone:
        raise WeftError(f"a series is trained on by one process; here are {processes.number}")
    if training.batch_tokens < processes.number:
        raise WeftError(
            f"training.batch_tokens is {training.batch_tokens}, too little to be split over "
            f"{processes.number} processes"
        )
    if training.parallel == "sharded" and not processes.alone and torch.__version__ < "2.7":
        raise WeftError(
            f"training.parallel is sharded, which needs PyTorch 2.7 or later; this is {torch.__version__}. Expected "
            f"parallel: data, or a newer PyTorch"
        )
    drops = [part for part in ("encoder", "decoder") if getattr(getattr(model, part), "layer_drop", 0.0)]
    if training.parallel == "sharded" and drops and not processes.alone:
        raise WeftError(
            f"training.parallel is sharded, which needs every layer in every process, but model.{drops[0]}.layer_drop "
            f"leaves out others in each; expected layer_drop: 0, or parallel: data"
        )
