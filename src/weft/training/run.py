"""The folder of a run: whether it can be gone on with, and that one process at a time does."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from weft.errors import WeftError
from weft.models import directory
from weft.recipe import Recipe
from weft.training.checkpoint import states

LOCK = ".training"
FREE_TO_CHANGE = {
    "out",
    "data.columns.header",  # the fingerprint of the data holds what first lines are taken for
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
    "training.accumulate",
    "training.parallel",
    "training.precision",
    "training.wait",
    "validation.patience",
}


def folder_of(recipe: Recipe) -> Path:
    """Where the recipe's run goes: `out`/`name`, which may be several folders deep."""
    parts = Path(recipe.name).parts
    if not parts or ".." in parts or Path(recipe.name).is_absolute():
        raise WeftError(f"name is '{recipe.name}'; expected a name for a folder within out, which is '{recipe.out}'")
    return Path(recipe.out) / recipe.name


def check_place(folder: Path) -> None:
    """A folder that is there must be a run, and have a state to go on from or have only just begun."""
    if states(folder) or not folder.exists():
        return
    if not folder.is_dir() or any(not file.name.startswith(".") for file in folder.iterdir()) != is_run(folder):
        raise WeftError(f"{folder} is in the way: it is there, but not a run; choose another with name=... or out=...")
    done = (folder / directory.CARD).exists() or not (folder / LOCK).exists()
    if done and (folder / directory.WEIGHTS).exists():
        raise WeftError(f"{folder} holds a model, but no state to go on from; start another run with name=...")


def is_run(folder: Path) -> bool:
    return (folder / directory.RECIPE).is_file()


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


@contextmanager
def writing(folder: Path) -> Iterator[Callable[[], None]]:
    """Make the folder of a run, and give what takes back all that came into being since.

    Raises WeftError where the disk is full, where it cannot be written, or where a file elsewhere cannot be read.
    """

    def take_back() -> None:
        for path in set(folder.iterdir()) - there:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for place in made:
            if any(place.iterdir()):  # another run is in it
                return
            place.rmdir()

    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        there = set() if made else set(folder.iterdir())
        folder.mkdir(parents=True, exist_ok=True)
        yield take_back
    except OSError as error:
        if error.filename and not Path(error.filename).absolute().is_relative_to(folder.absolute()):
            raise WeftError(f"{error.filename}: {error.strerror or error}") from None
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
        remove_unfinished(folder)
        yield


def remove_unfinished(folder: Path) -> None:
    """What a killed process was writing; the lock says that nobody is writing it now."""
    for part in [*folder.rglob(".*.part")]:
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
