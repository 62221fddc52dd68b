"""What a run writes: validated checkpoints, and the state from which it resumes exactly.

checkpoints/000500.safetensors  scores.json    kept for averaging
training/state-000700/                         weights, optimiser, order, random state, best score, patience
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor, nn

from weft.errors import WeftError
from weft.files import new_folder, write_text
from weft.models.directory import WEIGHTS, parameters, put_weights, read_tensors, save_tensors

CHECKPOINTS = "checkpoints"
SCORES = "scores.json"
TRAINING = "training"
STATE = "state-"
OPTIMIZER = "optimizer.safetensors"
RANDOM = "random.safetensors"
PROGRESS = "progress.json"
ENDING = "ending.json"
Shape = TypeVar("Shape")


@dataclass
class Progress:
    """Where a run is, besides its tensors."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=True)

    step: int = 0
    epoch: int = 0
    position: int = 0  # batches of the epoch that are done
    best: float | None = None
    best_step: int = 0
    waited: int = 0  # validations since the best
    micro_batches: int = 1  # that an update is split into for memory to suffice
    bad_steps: int = 0  # skipped in a row
    skipped: int = 0
    seconds: float = 0.0
    plateau: dict[str, Any] = field(default_factory=dict)
    data: str = ""  # fingerprint of what it is trained on


def save_state(run: Path, progress: Progress, network: nn.Module, moments: dict[str, Tensor]) -> None:
    """Write all that resuming needs beside the last state, then remove the last one."""
    folder = run / TRAINING / f"{STATE}{progress.step:08d}"
    reached = json.dumps(asdict(progress), indent=1)
    if folder.exists():  # no step has been made since, so nothing else can differ
        write_text(folder / PROGRESS, reached)
    else:
        with new_folder(folder) as beside:
            save_tensors(parameters(network), beside / WEIGHTS)
            save_tensors(moments, beside / OPTIMIZER)
            save_tensors(random_states(), beside / RANDOM)
            write_text(beside / PROGRESS, reached)
    for old in states(run):
        if old != folder:
            shutil.rmtree(old)


def states(run: Path) -> list[Path]:
    """Those that a run has written, the last one last; what else lies beside them, such as a copy, is none."""
    found = {folder: folder.name.removeprefix(STATE) for folder in (run / TRAINING).glob(f"{STATE}*")}
    return sorted((folder for folder, step in found.items() if step.isdecimal()), key=lambda folder: int(found[folder]))


def load_state(run: Path, network: nn.Module, trained: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
    """Put the last state into the network, the optimiser and the random generators; None where there is none.

    `trained` has the parameters that the optimiser changes, under the same names.
    """
    found = states(run)
    if not found:
        return None
    folder = found[-1]
    put_weights(network, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    for name, put in ((OPTIMIZER, partial(put_optimizer, trained, optimizer)), (RANDOM, put_random)):
        tensors = read_tensors(folder / name)
        try:
            put(tensors)
        except (ValueError, TypeError, RuntimeError) as error:
            raise WeftError(f"{folder / name}: damaged, or of another model: {error}") from None
    return read_progress(folder)


def read_progress(folder: Path) -> Progress:
    return read_json(folder / PROGRESS, Progress)


def read_json(path: Path, shape: type[Shape]) -> Shape:
    """What the file holds, which must be of that shape; WeftError where it is damaged."""
    try:
        return TypeAdapter(shape).validate_python(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise WeftError(f"{path}: no such file") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        why = f"'{place}' is {first['input']!r}" if place else "it is JSON of another kind"
        raise WeftError(f"{path}: damaged: {why}") from None
    except ValueError:
        raise WeftError(f"{path}: damaged: it is not JSON") from None


def put_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    named = parameters(network)
    for name, tensor in tensors.items():
        kind, _, parameter = name.partition(".")
        if parameter not in named or (kind != "step" and tensor.shape != named[parameter].shape):
            raise ValueError(f"'{name}' has no place in it")
        place = named[parameter]
        where = torch.device("cpu") if kind == "step" and not on_accelerator(place) else place.device
        optimizer.state[place][kind] = tensor.to(where, copy=True)  # not a view of the file, which will go


def on_accelerator(tensor: Tensor) -> bool:
    return tensor.device.type != "cpu"


def random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda.{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def put_random(states: dict[str, Tensor]) -> None:
    if "cpu" not in states:
        raise ValueError("'cpu' is missing")
    torch.set_rng_state(states["cpu"])
    for index in range(torch.cuda.device_count()):
        if f"cuda.{index}" in states:
            torch.cuda.set_rng_state(states[f"cuda.{index}"], index)


@dataclass(frozen=True)
class Ending:
    """How a run has ended; its last state is from before what only the end does, so that a longer run goes on."""

    step: int
    average: int  # checkpoints that were averaged to see whether that is better
    reason: str
    outcome: str  # the score of the run's model, and what that model is


def write_ending(run: Path, ending: Ending) -> None:
    write_text(run / TRAINING / ENDING, json.dumps(asdict(ending), indent=1))


def read_ending(run: Path) -> Ending | None:
    path = run / TRAINING / ENDING
    return read_json(path, Ending) if path.exists() else None


def forget_ending(run: Path, every: int, best_step: int) -> None:
    """Go on with a run that had ended: what only its end brought, a validation and a model, does not count."""
    kept = {str(one.step): one.score for one in checkpoints(run) if one.step % every == 0}
    if (run / CHECKPOINTS).is_dir():
        write_text(run / CHECKPOINTS / SCORES, json.dumps(kept, indent=1))
    if checkpoint_file(run, best_step).is_file():
        save_tensors(read_tensors(checkpoint_file(run, best_step)), run / WEIGHTS)
    (run / TRAINING / ENDING).unlink(missing_ok=True)


@dataclass(frozen=True)
class Checkpoint:
    step: int
    score: float
    path: Path


def checkpoint_file(run: Path, step: int) -> Path:
    return run / CHECKPOINTS / f"{step:08d}.safetensors"


def checkpoints(run: Path) -> list[Checkpoint]:
    """The validated checkpoints that are kept, by step."""
    path = run / CHECKPOINTS / SCORES
    scores = read_json(path, dict[int, float]) if path.exists() else {}
    found = [Checkpoint(step, score, checkpoint_file(run, step)) for step, score in scores.items()]
    return sorted((kept for kept in found if kept.path.is_file()), key=lambda kept: kept.step)


def best(kept: Sequence[Checkpoint], count: int, higher_is_better: bool) -> list[Checkpoint]:
    return sorted(kept, key=lambda one: (-one.score if higher_is_better else one.score, one.step))[:count]


def add_checkpoint(
    run: Path,
    step: int,
    score: float,
    network: nn.Module,
    keep_last: int,
    keep_best: int,
    higher_is_better: bool,
    at_end: bool,
) -> None:
    """Keep this checkpoint, and of the earlier ones the last and the best only.

    For one that only the end of a run brings, no earlier one goes: a longer run does without it.
    """
    folder = run / CHECKPOINTS
    folder.mkdir(exist_ok=True)
    path = checkpoint_file(run, step)
    save_tensors(parameters(network), path)
    known = [kept for kept in checkpoints(run) if kept.step < step] + [Checkpoint(step, score, path)]
    kept = known if at_end else [*known[-keep_last:], *best(known, keep_best, higher_is_better)]
    keep = {one.step for one in kept}
    scores = {str(one.step): one.score for one in known if one.step in keep}
    write_text(folder / SCORES, json.dumps(scores, indent=1))
    for file in folder.glob("*.safetensors"):
        if file.stem.isdecimal() and str(int(file.stem)) not in scores:  # any other is not the run's
            file.unlink()


def average(chosen: Sequence[Checkpoint]) -> dict[str, Tensor]:
    """The mean of every parameter over checkpoints, summed in float64."""
    total: dict[str, Tensor] = {}
    for one in chosen:
        for name, tensor in read_tensors(one.path).items():
            total[name] = total[name] + tensor.double() if name in total else tensor.double()
    return {name: (tensor / len(chosen)).float() for name, tensor in total.items()}
