"""Files and folders that are either wholly there or not there at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEVICES = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))  # and not /dev/shm, whose files are files


def unfinished(path: Path) -> Path:
    """A name beside `path` that nobody else has, on whatever machine or in whatever container they are."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Write to the path this yields; on leaving, it takes the place of `path` in one step.

    An exception on the way removes what was written and leaves `path` as it was. A pipe or a device is written to as
    it is, and stays what it is.
    """
    if passes_on(path):
        yield path
        return
    beside = unfinished(path)
    try:
        yield beside
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def passes_on(path: Path) -> bool:
    """Whether what is written there goes on to somewhere else, as with `/dev/stdout` and named pipes."""
    return path.exists() and (path.absolute().parent in DEVICES or not (path.is_file() or path.is_dir()))


def write_text(path: Path, text: str) -> None:
    """Put `text` (UTF-8, line ends untouched) in the place of `path` in one step."""
    with replaced(path) as beside:
        beside.write_bytes(text.encode())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill the folder this yields; on leaving, it becomes `path`, which must not hold anything yet.

    Where another process has meanwhile made the same folder, theirs stays.
    """
    beside = unfinished(path)
    beside.mkdir(parents=True)
    try:
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                with open(file, "rb") as written:
                    os.fsync(written.fileno())
        try:
            beside.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
