"""The bytes of a file in order, decompressed where they are compressed, with the place that has been reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from weft.data.lines import CHUNK, Stream, opened
from weft.errors import WeftError


class Bytes:
    """Reads what is asked for and holds little more of it."""

    def __init__(self, name: str, stream: Stream) -> None:
        self.name = name
        self.offset = 0  # bytes that were taken
        self._stream = stream
        self._held = b""
        self._start = 0  # of what is held and not yet taken

    def peek(self, count: int) -> bytes:
        """The next bytes, fewer where the file ends; they stay to be taken."""
        if len(self._held) - self._start < count:
            parts = [self._held[self._start :]]
            length = len(parts[0])
            while length < count and (chunk := self._stream.read1(CHUNK)):
                parts.append(chunk)
                length += len(chunk)
            self._held, self._start = b"".join(parts), 0
        return self._held[self._start : self._start + count]

    def take(self, count: int, what: str) -> bytes:
        """So many bytes; a WeftError that says in what they end where there are fewer."""
        taken = self.peek(count)
        if len(taken) < count:
            raise WeftError(
                f"{self.name}: cut off: it ends at byte {self.offset + len(taken):,}, {what}, "
                f"where {count - len(taken):,} more should follow"
            )
        self._start += count
        self.offset += count
        return taken

    def until(self, sign: bytes, what: str) -> bytes:
        """The bytes before the next sign, which is taken too; of more than CHUNK it is none."""
        end = self._held.find(sign, self._start) - self._start
        if end < 0:
            ahead = self.peek(CHUNK)
            end = ahead.find(sign)
            if end < 0 and len(ahead) < CHUNK:
                return self.take(len(ahead) + 1, what)
            if end < 0:
                raise WeftError(f"{self.name}: damaged at byte {self.offset:,}: no end of {what}")
        return self.take(end + len(sign), what)[: -len(sign)]

    def lines(self) -> Iterator[bytes]:
        """The lines that are left, without their ends; a carriage return before an end belongs to it."""
        held = b""
        while chunk := self.peek(CHUNK):
            self.take(len(chunk), "")
            *whole, held = (held + chunk).split(b"\n")
            for line in whole:
                yield line.removesuffix(b"\r")
        if held:
            yield held


@contextmanager
def read_bytes(name: str) -> Iterator[Bytes]:
    """A file of bytes, also .gz, .zst or .xz; WeftError where it is not there or cannot be read."""
    with opened(name) as stream:
        yield Bytes(name, stream)
