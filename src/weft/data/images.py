"""Images as arrays of one size, out of image files, IDX files and Parquet; errors name the file and the number.

An image is named by its file, or by the file and its number from 1: `dogs/3.png`, `train-images-idx3-ubyte.gz#17`,
`dogs.parquet#17`. C channels, H rows, W columns of pixels.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.data.cells import listed, place_of, short
from weft.data.lines import once_only, opened, reading
from weft.errors import WeftError, counted
from weft.recipe import Columns, ImageInput

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = NDArray[np.uint8]  # (C,H,W)

MOST_PIXELS = 64_000_000  # of an image before it is brought to its size
NUMBERED = re.compile(r"(.+)#(\d+)")
UNSIGNED_BYTES = 8  # of IDX's kinds of numbers
WHITE = (255, 255, 255, 255)
OF_16_BITS = ("PNG", "PPM")  # formats whose pixels Pillow may have in numbers of 32 bits


class ImageError(WeftError):
    """Something is wrong with one image, of that name."""

    def __init__(self, message: str, image: str) -> None:
        super().__init__(message)
        self.image = image

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (str(self), self.image)  # so that a worker's arrives as it was


class ImageReader:
    """Reads images by their names; of a file that holds many, the last one read stays open."""

    def __init__(self, settings: ImageInput, columns: Columns) -> None:
        self.settings = settings
        self.columns = columns
        self.many: tuple[str, IdxFile | ParquetImages] | None = None

    def read(self, name: str) -> Picture:
        """(C,H,W); ImageError where there is no such image, or it cannot be read, or is too large."""
        try:
            return self.found(name)
        except WeftError as error:
            raise ImageError(str(error), name) from None

    def read_all(self, names: Sequence[str]) -> Picture:
        """(N,C,H,W)"""
        pixels = np.empty((len(names), *self.settings.shape), np.uint8)
        for place, name in enumerate(names):
            pixels[place] = self.read(name)
        return pixels

    def found(self, name: str) -> Picture:
        numbered = NUMBERED.fullmatch(name)
        if not numbered or Path(name).is_file():
            with image_file(name) as file:
                return self.decoded(file, name)
        there, number = numbered[1], int(numbered[2])
        if self.many is None or self.many[0] != there:
            self.many = (there, ParquetImages(there, self.columns) if is_parquet(there) else IdxFile(there))
        found = self.many[1].image(number)
        if isinstance(found, bytes):
            return self.decoded(io.BytesIO(found), name)
        if found.shape == (self.settings.height, self.settings.width) and not self.settings.colour:
            return found[None]
        return self.fitted(imaging().fromarray(found))

    def decoded(self, file: IO[bytes], name: str) -> Picture:
        """The image in a file of any format that Pillow knows."""
        images = imaging()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Pillow, about a size that is refused here
                image = images.open(file)
                check_size(image.size, name)
                image.load()
            if image.mode == "F" or (image.mode == "I" and image.format not in OF_16_BITS):
                raise WeftError(f"{name}: its pixels are numbers of 32 bits; expected 8 or 16")
            return self.fitted(image)
        except images.DecompressionBombError:
            raise WeftError(
                f"{name}: larger than {counted(MOST_PIXELS, 'pixel')}, which are the most that is read"
            ) from None
        except images.UnidentifiedImageError:
            raise WeftError(f"{name}: not an image, or of no format that Pillow reads") from None
        except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
            raise WeftError(f"{name}: damaged or cut off: {error}") from None

    def fitted(self, image: Image) -> Picture:
        """Upright, in the recipe's colours and at its size; what is transparent becomes white."""
        from PIL import Image as images
        from PIL import ImageOps

        settings = self.settings
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits
            image = images.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = images.alpha_composite(images.new("RGBA", image.size, WHITE), image.convert("RGBA"))
        image = image.convert("RGB" if settings.colour else "L")
        size = settings.width, settings.height
        if image.size != size:
            bilinear = images.Resampling.BILINEAR
            stretched = settings.fit == "stretch"
            if not stretched:
                image = with_room(image, size)
            image = image.resize(size, bilinear) if stretched else ImageOps.pad(image, size, bilinear)
        pixels = np.asarray(image, np.uint8)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if settings.colour else pixels[None]


def with_room(image: Image, size: tuple[int, int]) -> Image:
    """An image of which nothing would be left, so thin is it, with one row or column that is."""
    from PIL.Image import Resampling

    width, height = size
    if image.width >= 2 * image.height * width:
        return image.resize((width, 1), Resampling.BILINEAR)
    if image.height >= 2 * image.width * height:
        return image.resize((1, height), Resampling.BILINEAR)
    return image


class IdxFile:
    """Images or labels of the MNIST database's format: a header, then unsigned bytes."""

    def __init__(self, name: str) -> None:
        sizes = idx_sizes(name)
        if sizes is None:
            raise WeftError(f"{name}: not an IDX file; FILE#3 is the third image of an IDX or Parquet file")
        self.name = name
        with opened(name) as stream:
            content = b"".join(iter(lambda: stream.read1(1 << 20), b""))[4 + 4 * len(sizes) :]
        if len(content) != prod(sizes):
            expected = " x ".join(map(str, sizes))
            raise WeftError(f"{name}: {counted(len(content), 'byte')} after the header, which speaks of {expected}")
        self.items = np.frombuffer(content, np.uint8).reshape(sizes)

    def image(self, number: int) -> Picture:
        """(H,W), by its number from 1."""
        check_number(self.name, number, len(self.items))
        check_kind(self.name, self.items.shape, of_images=True)
        check_size(self.items.shape[1:], f"{self.name}#{number}")
        found: Picture = self.items[number - 1]
        return found


class ParquetImages:
    """The images in a column of a Parquet file, as bytes, or as Hugging Face has them: {bytes, path}."""

    def __init__(self, name: str, columns: Columns) -> None:
        import pyarrow
        import pyarrow.parquet

        self.name = name
        with reading(name):
            try:
                self.file = pyarrow.parquet.ParquetFile(name, memory_map=True)
            except pyarrow.ArrowInvalid as error:
                raise WeftError(f"{name}: not a Parquet file, or damaged: {error}") from None
        header = list(self.file.schema_arrow.names)
        self.key = header[min(place_of(listed(columns.source)[0], header, name), len(header) - 1)]
        counts = [self.file.metadata.row_group(group).num_rows for group in range(self.file.num_row_groups)]
        self.ends = np.cumsum([0, *counts])
        self.group: tuple[int, Any] | None = None  # the last that was read

    def image(self, number: int) -> bytes:
        """The file's bytes, by the number of the row from 1."""
        check_number(self.name, number, int(self.ends[-1]))
        group = int(np.searchsorted(self.ends, number - 1, "right")) - 1
        if self.group is None or self.group[0] != group:
            self.group = group, self.file.read_row_group(group, columns=[self.key]).column(0)
        value = self.group[1][number - 1 - int(self.ends[group])].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise WeftError(f"{self.name}#{number}: '{self.key}' is {short(value)}; expected the bytes of an image")
        return content


@contextmanager
def image_file(name: str) -> Iterator[io.BufferedReader]:
    """The bytes of an image that has a file of its own; a failure to read them in here is a WeftError that names it."""
    if Path(name).is_dir():
        raise WeftError(f"{name}: is a folder; expected an image")
    with reading(name), open(name, "rb") as file:
        yield file


def idx_sizes(name: str) -> tuple[int, ...] | None:
    """How many items an IDX file says that it has, and how large each is; None of another format, and of a pipe.

    Raises WeftError where its numbers are no unsigned bytes.
    """
    if once_only(name):
        return None
    with opened(name) as stream:
        content = stream.read1(64)
    if len(content) < 8 or content[:2] != b"\0\0" or not 1 <= content[3] <= 4 or len(content) < 4 + 4 * content[3]:
        return None
    if content[2] != UNSIGNED_BYTES:
        raise WeftError(f"{name}: an IDX file of numbers of kind {content[2]}; expected unsigned bytes, kind 8")
    return struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])


def check_kind(name: str, sizes: Sequence[int], of_images: bool) -> None:
    """WeftError for an IDX file of labels where images belong, and of images where labels do."""
    if len(sizes) != (3 if of_images else 1):
        told = " x ".join(map(str, sizes))
        expected = "3 sizes, of images: how many, rows, columns" if of_images else "1 size, of labels: how many"
        raise WeftError(f"{name}: an IDX file of size {told}; expected {expected}")


def is_parquet(name: str) -> bool:
    return Path(name).suffix.lower() == ".parquet"


def check_number(name: str, number: int, count: int) -> None:
    if not 1 <= number <= count:
        raise WeftError(f"{name}: there is no image {number}; it has {counted(count, 'image')}, from 1")


def check_size(sizes: Sequence[int], name: str) -> None:
    if prod(sizes) > MOST_PIXELS:
        told = " x ".join(map(str, sizes))
        raise WeftError(f"{name}: {told} pixels; at most {counted(MOST_PIXELS, 'pixel')} are read")


def imaging() -> Any:
    """Pillow's module of images; WeftError without Pillow."""
    try:
        import PIL.Image
    except ImportError:
        raise WeftError("images need Pillow, which is not installed: pip install 'weft[image]'") from None
    return PIL.Image
