"""Where prepared data is kept, under which name, and the copies of what can be read only once."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import sentencepiece

from weft.data import captions, direction, factors, first_line, tagged
from weft.data.lines import CHUNK, STDIN, called, once_only, opened, reading
from weft.data.read import has_source, names
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.files import replaced, unfinished, write_text
from weft.recipe import Files, Parallel, Recipe

FORMAT = 5  # of what is kept; a change here makes all anew
DAY = 24 * 3600.0  # seconds
LARGE = 1 << 26  # bytes of a file whose hash is remembered
SETTLED = 2.0  # seconds that a clock of a file system may be coarse by


def cache_folder() -> Path:
    """$WEFT_CACHE, or $XDG_CACHE_HOME/weft, or ~/.cache/weft."""
    if chosen := os.environ.get("WEFT_CACHE"):
        return Path(chosen)
    above = os.environ.get("XDG_CACHE_HOME")
    return (Path(above) if above else Path.home() / ".cache") / "weft"


def key(fingerprint: str) -> str:
    """The name that what was made of such data by these versions of the code is kept under."""
    return blake2b(f"{FORMAT} {sentencepiece.__version__} {fingerprint}".encode(), digest_size=16).hexdigest()


def fingerprint(
    recipe: Recipe,
    vocabularies: tuple[Vocabulary, Vocabulary] | None,
    source: Vocabulary | None = None,
    target: Vocabulary | None = None,
) -> str:
    """The same for the same contents of the files to train on and to develop with, and the same settings of theirs.

    Each form of data adds what it alone has (`shaping`), and nothing where the recipe has it not. What is done to an
    example each time that it is trained on has no part in it: noise, sampling, weights of a mix.
    `source`, such as the tokenizer of a pretrained encoder, and `target` are given where the other is learnt.
    """
    data = recipe.data
    shaping = {"columns", "max_length", "duplicates", "gaps"}
    said_elsewhere = {"columns": {"header", "factors"} if not data.columns.factors else {"header"}}
    settings: dict[str, Any] = {
        "data": data.model_dump(mode="json", include=shaping, exclude=said_elsewhere, exclude_none=True),
        "dev_fraction": data.dev_fraction if data.dev is None else None,
        "shared": recipe.vocabulary.shared,
        "vocabulary": (
            recipe.vocabulary.model_dump(
                mode="json", exclude={"source": {"sampling"}, "target": {"sampling"}, "factors": True}
            )
            if vocabularies is None
            else [blake2b(vocabulary.model_bytes).hexdigest() for vocabulary in vocabularies]
        ),
        "train": list(contents(data.train)),
        "dev": None if data.dev is None else list(contents(data.dev)),
    }
    if data.also:
        settings["also"] = []
    for number, mixed in enumerate(data.also):
        with concerning(f"data.also.{number}.train"):
            settings["also"].append(list(contents(mixed.train)))
    if vocabularies is None and source is not None:
        settings["tokenizer"] = blake2b(source.model_bytes).hexdigest()
    if vocabularies is None and target is not None:
        settings["target"] = blake2b(target.model_bytes).hexdigest()
    if keeps_text(recipe):
        settings["text"] = True
    settings |= factors.shaping(recipe, vocabularies[0].factors if vocabularies else None)
    for form in (first_line, direction, tagged, captions):
        settings |= form.shaping(recipe)
    return blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16).hexdigest()


def keeps_text(recipe: Recipe) -> bool:
    """Whether the text of what is trained on is needed again, for other pieces, characters or gaps each time."""
    sides = recipe.vocabulary.source, recipe.vocabulary.target
    if recipe.model.input.kind == "image" or recipe.data.gaps:  # whose names are their text
        return True
    return any(side.sampling for side in sides) or recipe.data.noise.characters > 0


def apart(recipe: Recipe) -> str:
    """What data of the same fingerprint is kept apart by.

    Targets that are tags were counted and spaced, an autoencoder's are no captions, and names of images lead from
    somewhere.
    """
    targets = recipe.tags or ("pixels" if recipe.model.decoder.kind == "pixels" else "")
    told = f" {targets}" if targets else ""
    if recipe.model.input.kind != "image":
        return told
    data = recipe.data.model_dump_json(include={"train", "also", "dev", "images"})
    return f"{told} {Path.cwd()} {data}"


def contents(files: Files) -> Iterator[list[str]]:
    """Of each file its role, its suffixes (which tell the format) and the hash of its bytes."""
    role = "pairs" if not isinstance(files, Parallel) else "parallel" if has_source(files) else "target"
    for name in names(files):
        with reading(name):
            yield [role, *Path(name).suffixes[-2:], digest(Path(name))]


def digest(path: Path) -> str:
    """The hash of a file's bytes; of a large file that has not changed since, what is remembered of it.

    A file is unchanged whose place, size and times of change of content and of inode are the same, and which had
    not been changed just before it was hashed.
    """
    with open(path, "rb") as file:
        there, began = os.fstat(file.fileno()), time.time()
        if there.st_size < LARGE:
            return file_digest(file, "blake2b").hexdigest()
        state = [str(path.resolve()), there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns]
        name = blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()
        remembered = cache_folder() / "hashes" / name
        if remembered.is_file():
            return remembered.read_text("ascii")
        found = file_digest(file, "blake2b").hexdigest()
        unchanged = os.fstat(file.fileno()).st_ctime_ns == there.st_ctime_ns
    if unchanged and began - max(there.st_mtime, there.st_ctime) > SETTLED:
        with suppress(OSError):  # of a cache that cannot be written, where it may be enough to read
            remembered.parent.mkdir(parents=True, exist_ok=True)
            write_text(remembered, found)
    return found


def states(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Of each file of the data that is there, what tells that it has changed."""
    found: dict[str, tuple[int, ...]] = {}
    for files in recipe.data.trained_on:
        with suppress(WeftError, OSError):  # which whoever reads it tells
            for name in names(files):
                there = Path(name).stat()
                found[name] = (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns)
    return found


@contextmanager
def concerning(key: str) -> Iterator[None]:
    """A WeftError in here names the key of the recipe that it is about."""
    try:
        yield
    except WeftError as error:
        raise WeftError(f"{key}: {error}") from None


class Copies(dict[str, str]):
    """What stands in the cache for what can be read only once: the copy's name, and what messages call it."""

    def told(self, message: str) -> str:
        for copy, name in self.items():
            message = message.replace(copy, name)
        return message

    @contextmanager
    def naming(self) -> Iterator[None]:
        """A WeftError in here that is about a copy names what was copied."""
        try:
            yield
        except WeftError as error:
            error.args = (self.told(str(error)),)
            raise


def spool(recipe: Recipe) -> tuple[Recipe, Copies]:
    """The recipe with a copy in the cache, named by its content, for standard input and for each pipe in its data.

    Raises WeftError where standard input stands in more than one place.
    """
    data = recipe.data
    given = [name for files in (data.train, data.dev) if files is not None for name in names(files)]
    for number, mixed in enumerate(data.also):
        with concerning(f"data.also.{number}.train"):
            given += names(mixed.train)
    if given.count(STDIN) > 1:
        raise WeftError(
            f"data: standard input ('{STDIN}') can be read only once; it stands in {given.count(STDIN)} places"
        )
    copies = Copies()
    if not any(map(once_only, given)):
        return recipe, copies
    turns = data.columns.turns is not None
    read_from = {
        "train": copied(data.train, copies, turns),
        "also": [mixed.model_copy(update={"train": copied(mixed.train, copies, turns)}) for mixed in data.also],
        "dev": None if data.dev is None else copied(data.dev, copies, turns),
    }
    return recipe.model_copy(update={"data": data.model_copy(update=read_from)}), copies


def copied(files: Files, copies: Copies, turns: bool) -> Files:
    def each(given: str | list[str], of_pairs: bool) -> list[str]:
        found = {name: copy_of(name, of_pairs, turns) for name in names(given)}
        copies.update({copy: called(name) for name, copy in found.items() if copy != name})
        return [found[name] for name in names(given)]

    if not isinstance(files, Parallel):
        return each(files, True)
    target = each(files.target, False)
    return Parallel(source=None if files.source is None else each(files.source, False), target=target)


def copy_of(name: str, of_pairs: bool, turns: bool) -> str:
    """The file itself, or, of what can be read only once, a copy whose suffix tells the format."""
    if not once_only(name):
        return name
    folder = cache_folder() / "input"
    folder.mkdir(parents=True, exist_ok=True)
    arrived = unfinished(folder / "arrived")
    digest, first = blake2b(digest_size=16), b""
    with replaced(arrived) as beside, open(beside, "wb") as copy, opened(name) as stream:
        while chunk := stream.read1(CHUNK):
            first = first or chunk[:1]
            digest.update(chunk)
            copy.write(chunk)
    suffix = (".jsonl" if turns or first == b"{" else ".tsv") if of_pairs else ".txt"
    kept = folder / f"{digest.hexdigest()}{suffix}"
    arrived.replace(kept)
    return str(kept)


def remove_abandoned(cache: Path) -> None:
    """Remove what killed processes left unfinished, once nothing has been written to it for a day."""
    for folder in cache.glob(".*.part"):
        try:
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        except FileNotFoundError:  # finished or removed by its own process meanwhile
            continue
        if time.time() - newest > DAY:
            shutil.rmtree(folder, ignore_errors=True)
