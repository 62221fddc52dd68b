"""From a file of pairs, a recipe or an unfinished run to a trained model."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

import weft.recipe
from weft.data.cache import spool
from weft.data.corpus import Prepared, prepare
from weft.errors import WeftError
from weft.files import write_text
from weft.models import directory
from weft.models.device import device
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Recipe
from weft.tasks.evaluate import validated_metrics
from weft.tasks.text import Model, load
from weft.training import card
from weft.training.checkpoint import read_progress, states
from weft.training.precision import bound_caches
from weft.training.preset import suggest
from weft.training.progress import listeners
from weft.training.trainer import Trainer

LOCK = ".training"
FREE_TO_CHANGE = {
    "out",
    "data.test",
    "search",
    "training.steps",
    "training.epochs",
    "training.minutes",
    "training.threads",
    "training.save_every",
    "training.keep_last",
    "training.keep_best",
    "training.average",
    "training.device",
    "validation.patience",
}


class Interrupted(WeftError):
    """The run was told to stop, and has saved all that it needs to go on."""

    exit_code = 130


def train(what: str | Path, *overrides: str, say: Callable[[str], None] | None = None) -> Model:
    """Train from a file of pairs, a recipe (.yaml) or an existing run, and give back the model.

    `overrides` are dotted settings such as "training.steps=5000". A run that exists goes on from where it stopped;
    one that was made with other settings is left alone, with a WeftError that names them.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    recipe, folder = chosen(str(what), overrides, say)
    recipe = spool(recipe)
    settings = recipe.training
    validated_metrics(recipe)
    bound_caches()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    place = device(settings.device)
    with writing(folder), locked(folder):
        data = prepare(recipe, report=say)
        check_data(folder, data)
        for line in data.counts.report():
            say(line)
        torch.manual_seed(settings.seed)
        network = Seq2Seq(recipe.model, data.source.size, data.target.size).to(place)
        model = Model(recipe, network, data.source, data.target)
        directory.save_vocabularies(folder, data.source, data.target, recipe)
        write_text(folder / directory.RECIPE, weft.recipe.dump(recipe))
        say(f"{sum(p.numel() for p in network.parameters()):,} parameters on {place}; the run is {folder}")
        heard = listeners(folder, settings.steps)
        try:
            trainer = Trainer(recipe, model, data, folder, heard)
            with signals(trainer):
                reason = trainer.run()
        finally:
            for listener in heard:
                listener.close()
        if trainer.stop_wanted:
            raise Interrupted(f"{reason}; saved at step {trainer.progress.step:,}. Go on with: weft train {folder}")
        card.write(folder, recipe, trainer.progress, data.counts)
    say(f"done: {reason}. Use it: weft predict {folder}")
    return load(folder, str(place))


def chosen(what: str, overrides: Sequence[str], say: Callable[[str], None]) -> tuple[Recipe, Path]:
    """The recipe and the folder of the run; an existing run must have been made with this recipe."""
    path = Path(what)
    if path.is_dir():
        if not (path / directory.RECIPE).is_file():
            raise WeftError(f"{path}: a folder, but not of a run: it has no {directory.RECIPE}")
        before = weft.recipe.load(path / directory.RECIPE)
        recipe = weft.recipe.load(path / directory.RECIPE, overrides)
        check_same(before, recipe, path)
        return recipe, path
    if path.suffix in (".yaml", ".yml"):
        recipe = weft.recipe.load(path, overrides)
        recipe = recipe if recipe.name else recipe.model_copy(update={"name": path.stem})
    else:
        recipe = suggest(what, overrides, say)
    folder = Path(recipe.out) / recipe.name
    if states(folder):
        check_same(weft.recipe.load(folder / directory.RECIPE), recipe, folder)
    elif folder.exists() and not (folder.is_dir() and is_begun(folder)):
        raise WeftError(f"{folder} is in the way: it is there, but not a run; choose another with name=... or out=...")
    return recipe, folder


def check_same(before: Recipe, now: Recipe, folder: Path) -> None:
    old, new = flat(before.model_dump()), flat(now.model_dump())
    other = [
        key
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and not any(key == free or key.startswith(f"{free}.") for free in FREE_TO_CHANGE)
    ]
    if other:
        listed = "; ".join(f"{key} is {old.get(key)!r} there and {new.get(key)!r} here" for key in other[:3])
        more = f", and {len(other) - 3} more" if len(other) > 3 else ""
        raise WeftError(
            f"{folder} is a run of another recipe: {listed}{more}. "
            f"Go on with it as it is: weft train {folder}; or start another: name=..."
        )


def flat(settings: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def is_begun(folder: Path) -> bool:
    """Whether there is nothing in it but what a run writes before its first state."""
    return (folder / directory.RECIPE).is_file() or all(file.name == LOCK for file in folder.iterdir())


def check_data(folder: Path, data: Prepared) -> None:
    """A run goes on only with the data that it began with, for its order and its vocabularies came from it."""
    found = states(folder)
    if found and read_progress(found[-1]).data != data.fingerprint:
        raise WeftError(
            f"{folder}: the data of this run has changed since it began, so it cannot go on as it was; "
            f"put the files back, or start another run with name=..."
        )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make the folder of a run; a WeftError that names it where the disk is full or it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WeftError(f"{folder}: cannot be written: {error.strerror or error}") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run for this process alone; the lock goes with the process, however it ends."""
    with open(folder / LOCK, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise WeftError(f"{folder} is being trained already, by process {lock.read().strip() or '?'}") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def signals(trainer: Trainer) -> Iterator[None]:
    """SIGINT and SIGTERM end the run after its step; a second SIGINT ends it at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if trainer.stop_wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        trainer.stop(f"interrupted by {signal.Signals(number).name}")

    wanted = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {number: signal.signal(number, stop) for number in wanted}
    except ValueError:  # not the main thread, where signals cannot be heard
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
