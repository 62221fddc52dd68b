"""The lines of a file or of standard input, as text: UTF-8, compressed or not; errors name the file and the line.

A line ends at `\\n` and nowhere else; a `\\r` directly before it belongs to the end. All other characters that
Unicode or Python would break a line at (U+2028, U+0085, form feed, ...) are part of the text.
"""

from __future__ import annotations

import codecs
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, cast

from weft.errors import WeftError, nearest

STDIN = "-"
CHUNK = 1 << 20  # bytes
COMPRESSED = (".gz", ".zst", ".xz")
IMAGES = {b"\x89PNG\r\n\x1a\n": "a PNG", b"\xff\xd8\xff": "a JPEG"}  # what such files begin with
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Stream(Protocol):
    def read1(self, size: int, /) -> bytes: ...


def called(name: str) -> str:
    """What messages call a file."""
    return "standard input" if name == STDIN else name


def once_only(name: str) -> bool:
    """Whether what is read of it is gone: standard input, a pipe."""
    path = Path(name)
    return name == STDIN or path.is_fifo() or path.is_char_device()


def read_lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file, compressed or not, or of standard input (`-`), without their ends.

    Lines come as soon as they arrive. A byte order mark at the start is dropped. Raises WeftError, with the file,
    the line, and the byte's place in the (decompressed) file, for anything that is not UTF-8 text.
    """
    with opened(path) as stream:
        number, position = 1, 0
        held: list[bytes] = []
        while chunk := stream.read1(CHUNK):
            if b"\0" in chunk:
                raise binary(called(path), b"".join([*held, chunk]), number, position)
            cut = chunk.rfind(b"\n") + 1
            if not cut:
                held.append(chunk)
                continue
            block = b"".join([*held, chunk[:cut]])
            held = [chunk[cut:]]
            lines = decoded(called(path), block, number, position).replace("\r\n", "\n").split("\n")
            lines.pop()
            yield from lines
            number, position = number + len(lines), position + len(block)
        if rest := decoded(called(path), b"".join(held), number, position):
            yield rest


@contextmanager
def opened(name: str) -> Iterator[Stream]:
    """A file's bytes, decompressed, or those of standard input."""
    if name == STDIN:
        if sys.stdin is None:
            raise WeftError("standard input is closed; expected lines there, or a file")
        yield cast(Stream, sys.stdin.buffer)
        return
    with reading(name), decompressed(Path(name)) as stream:
        yield stream


@contextmanager
def reading(name: str) -> Iterator[None]:
    """A failure to read the file in here is a WeftError that names it."""
    path = Path(name)
    if path.is_dir():
        raise WeftError(f"{name}: is a folder; expected a file, or a glob such as {path / '*.tsv'}")
    try:
        yield
    except FileNotFoundError:
        raise missing(path) from None
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise WeftError(f"{name}: cannot be read: {error.strerror}") from None
        raise WeftError(f"{name}: damaged or cut off: {error}") from None


def decompressed(path: Path) -> AbstractContextManager[Stream]:
    match path.suffix.lower():
        case ".gz":
            import gzip

            return gzip.open(path, "rb")
        case ".xz":
            return xz(path)
        case ".zst":
            import pyarrow

            return cast(AbstractContextManager[Stream], pyarrow.input_stream(str(path), compression="zstd"))
    return open(path, "rb")


@contextmanager
def xz(path: Path) -> Iterator[Stream]:
    import lzma

    try:
        with lzma.open(path, "rb") as stream:
            yield stream
    except lzma.LZMAError as error:
        raise EOFError(error) from None


def missing(path: Path) -> WeftError:
    folder = path.parent
    if not folder.is_dir():
        return WeftError(f"{path}: no such file: there is no folder {folder}")
    return WeftError(f"{path}: no such file{nearest(path.name, (other.name for other in folder.iterdir()))}")


def decoded(name: str, block: bytes, number: int, position: int) -> str:
    """Whole lines as text; `number` and `position` are the line and the byte of the file that they start at."""
    mark = 3 if position == 0 and block.startswith(codecs.BOM_UTF8) else 0
    try:
        return block[mark:].decode()
    except UnicodeDecodeError as error:
        if position == 0 and block.startswith(UTF16):
            raise binary(name, block, number, position) from None
        bad = mark + error.start
        line = number + block.count(b"\n", 0, bad)
        raise WeftError(
            f"{name}:{line}: not UTF-8: byte 0x{block[bad]:02x} at offset {position + bad} of the file "
            f"({error.reason}); if the text is in another encoding, such as Latin-1 or Windows-1252, "
            f"convert it first: iconv -f WINDOWS-1252 -t UTF-8"
        ) from None


def binary(name: str, block: bytes, number: int, position: int) -> WeftError:
    if position == 0 and block.startswith(UTF16):
        return WeftError(f"{name}: is UTF-16; expected UTF-8: convert it first: iconv -f UTF-16 -t UTF-8")
    for start, kind in IMAGES.items():
        if position == 0 and block.startswith(start):
            return WeftError(
                f"{name}: is {kind} image; expected text: a model of images (model.input.kind: image) takes files that "
                f"name them line by line, see docs/images.md"
            )
    at = block.find(b"\0")
    line = number + block.count(b"\n", 0, at)
    return WeftError(f"{name}:{line}: looks like a binary file: zero byte at offset {position + at}; expected text")
