"""Pairs of an image's name and a line of text, from files that name images, IDX files and Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

from weft.data.cells import listed, place_of
from weft.data.factors import whole_words
from weft.data.gaps import read_gaps
from weft.data.images import NUMBERED, IdxFile, check_kind, idx_sizes, image_file, is_parquet
from weft.data.lines import called, once_only, read_lines, reading
from weft.data.read import Pair, csv_rows, expanded, names, read_pairs, side_by_side, suffix_of, tsv_rows
from weft.data.tagged import tagged
from weft.errors import WeftError
from weft.recipe import Columns, Files, Parallel, Recipe

WHOLE = "image"  # what stands for the target where the image itself is to come back


def pairs_for(recipe: Recipe, files: Files, columns: Columns, key: str = "the pairs") -> Iterator[Pair]:
    """What `read_pairs` gives, with sources as the recipe's model takes them: lines, with gaps too, or names of images.

    Targets that are tags are as many as they ought to be, or a WeftError says where they are not, after `key`.
    """
    pairs = untagged_pairs(recipe, files, columns)
    if not recipe.tags:
        return pairs
    return tagged(pairs, recipe.tags, f"{key} ({', '.join(map(called, names(files)))})", bool(recipe.factors))


def untagged_pairs(recipe: Recipe, files: Files, columns: Columns) -> Iterator[Pair]:
    if recipe.model.decoder.kind == "pixels":
        return ((name, WHOLE) for name in read_images(files, columns, recipe.data.images))
    if recipe.model.input.kind == "image":
        return read_captioned(files, columns, recipe.data.images)
    if recipe.factors and not columns.factors:
        return ((" ".join(whole_words(source)), target) for source, target in read_pairs(files, columns))
    if recipe.data.gaps and isinstance(files, Parallel) and files.source is None:
        return read_gaps(files, recipe.data.gaps)
    return read_pairs(files, columns)


def read_captioned(files: Files, columns: Columns, folder: str | None) -> Iterator[Pair]:
    """Pairs (name of an image, line), names such as `ImageReader` reads.

    A TSV, CSV or JSONL file, or a text file beside one with the lines, names files relative to `folder`, or without
    it to the folder that the naming file is in. Of IDX files and of Parquet the images have numbers; a file of labels
    is read as their digits. Raises WeftError as `read_pairs` does.
    """
    if isinstance(files, Parallel):
        if files.source is None:
            raise WeftError("model.input.kind is image, but the data has text without a source")
        sources, targets = expanded(files.source), expanded(files.target)
        if len(sources) != len(targets):
            raise WeftError(f"{len(sources)} source files but {len(targets)} target files; they belong together")
        for source, target in zip(sources, targets, strict=True):
            if (sizes := idx_sizes(target)) is not None:
                check_kind(target, sizes, of_images=False)
            yield from side_by_side(source, target, lambda name: lines_of(name, folder, name in sources))
        return
    for name in expanded(files):
        if is_parquet(name) and holds_bytes(name, columns):
            captions = Columns(source=columns.target, target=columns.target)
            for number, (_, caption) in enumerate(read_pairs(name, captions), 1):
                yield f"{name}#{number}", caption
        else:
            if not is_parquet(name) and idx_sizes(name) is not None:
                raise WeftError(
                    f"{name}: an IDX file has no captions in it; expected them beside it: "
                    f"{{source: {name}, target: FILE}}"
                )
            for image, caption in read_pairs(name, columns):
                yield located(image, name, folder), caption


def read_images(files: Files, columns: Columns, folder: str | None) -> Iterator[str]:
    """The names of the images alone, for models that need no more; IDX files may stand by themselves."""
    if isinstance(files, Parallel):
        if files.source is None:
            raise WeftError("model.input.kind is image, but the data has text without a source")
        for name in expanded(files.source):
            yield from lines_of(name, folder, True)
        return
    alone = columns.model_copy(update={"target": columns.source})
    for name in expanded(files):
        if not is_parquet(name) and idx_sizes(name) is not None:
            yield from lines_of(name, folder, True)
        elif is_parquet(name) and holds_bytes(name, alone):
            for number in range(1, rows_in(name) + 1):
                yield f"{name}#{number}"
        else:
            for image, _ in read_pairs(name, alone):
                yield located(image, name, folder)


def lines_of(name: str, folder: str | None, of_images: bool) -> Iterator[str]:
    """The names of images in a file, or its lines: those of an IDX file are made."""
    sizes = idx_sizes(name)
    if sizes is None:
        for line in read_lines(name):
            yield located(line, name, folder) if of_images else line
        return
    check_kind(name, sizes, of_images)
    if of_images:
        yield from (f"{name}#{number}" for number in range(1, sizes[0] + 1))
    else:
        yield from map(str, IdxFile(name).items.tolist())


def located(image: str, named_in: str, folder: str | None) -> str:
    """Where the image is that a file names; nothing where it names none."""
    if not image.strip():
        return ""
    return str((Path(named_in).parent if folder is None else Path(folder)) / image)


def holds_bytes(name: str, columns: Columns) -> bool:
    """Whether the column of images has no strings, which would be names of files."""
    import pyarrow
    import pyarrow.parquet

    with reading(name):
        try:
            schema = pyarrow.parquet.read_schema(name)
        except pyarrow.ArrowInvalid as error:
            raise WeftError(f"{name}: not a Parquet file, or damaged: {error}") from None
    place = place_of(listed(columns.source)[0], list(schema.names), name)
    if place >= len(schema):
        return False
    of, types = schema.field(place).type, pyarrow.types
    if is_text(of):
        return False
    if not (types.is_binary(of) or types.is_large_binary(of) or types.is_struct(of)):
        raise WeftError(
            f"{name}: column '{schema.names[place]}' is of {of}; expected images or the names of their files"
        )
    return True


def is_text(of: Any) -> bool:
    """Whether a column of this type holds strings, however it keeps them."""
    from pyarrow import types

    return str(of.value_type if types.is_dictionary(of) else of) in ("string", "large_string", "string_view")


def rows_in(name: str) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(name).num_rows)


def named_at(files: Files, image: str, folder: str | None) -> str:
    """`captions.tsv:7: ` for the first line that names an image, or `captions.parquet: row 7: `; else nothing."""
    for name in names(files):
        if once_only(name) or (not is_parquet(name) and idx_sizes(name) is not None):
            continue
        for number, cells in rows_of(name):
            if any(located(cell, name, folder) == image for cell in cells):
                return f"{name}: row {number}: " if is_parquet(name) else f"{name}:{number}: "
    return ""


def rows_of(name: str) -> Iterator[tuple[int, list[str]]]:
    suffix = suffix_of(name)
    if is_parquet(name):
        yield from texts_of(name)
        return
    if suffix == ".csv":
        yield from csv_rows(name, read_lines(name))
        return
    if suffix != ".jsonl":
        yield from tsv_rows(read_lines(name))
        return
    for number, line in enumerate(read_lines(name), 1):
        yield number, [str(value) for value in json.loads(line or "{}").values()]


def texts_of(name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a Parquet file from 1, of columns of strings alone."""
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(name, memory_map=True)
    columns = [field.name for field in file.schema_arrow if is_text(field.type)]
    row = 0
    for batch in file.iter_batches(columns=columns):
        for cells in batch.to_pylist():
            row += 1
            yield row, [cell or "" for cell in cells.values()]


def shaping(recipe: Recipe) -> dict[str, Any]:
    """How large images are kept, and what is in those that have files of their own."""
    images = recipe.model.input
    if images.kind != "image":
        return {}
    return {
        "image": images.model_dump(include={"height", "width", "colour", "fit"}),
        "images": [digest_of_images(recipe, files) for files in recipe.data.trained_on],
    }


def digest_of_images(recipe: Recipe, files: Files) -> str:
    """A hash of the content of all images that have files of their own, and of their names within their folders."""
    total, seen = blake2b(digest_size=16), set()
    for name, _ in pairs_for(recipe, files, recipe.data.columns):
        if name in seen or not name or NUMBERED.fullmatch(name):
            continue
        seen.add(name)
        try:
            with image_file(name) as file:
                content = file_digest(file, "blake2b").hexdigest()
        except WeftError as error:
            raise WeftError(f"{named_at(files, name, recipe.data.images)}{error}") from None
        total.update(f"{Path(name).name}\n{content}\n".encode())
    return total.hexdigest()
