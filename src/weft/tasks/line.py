"""One line in, and what its output is asked to hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError, counted
from weft.search.phrases import Phrase

ENDED = object()  # in place of a line, where there are no more
ANCHOR = "\ue000"  # for private use: what follows it is written as it is inside a sentence


@dataclass(frozen=True)
class Line:
    number: int  # from 0
    text: str
    prefix: str = ""  # what the output begins with
    must: Sequence[str] = ()  # phrases that the output holds
    never: Sequence[str] = ()  # phrases that it does not hold


@dataclass(frozen=True)
class Encoded:
    """The same in ids."""

    number: int
    sources: tuple[Any, ...]  # as each model of an ensemble takes it
    prefix: list[int]
    must: list[Phrase]
    never: list[Phrase]
    tokens: int | None = None  # how many the output has, where that is known

    @property
    def length(self) -> int:
        """What the length cap goes by: the source, or where there is none what is to be continued."""
        return len(self.sources[0]) or len(self.prefix)


def check_room(
    part: Literal["encoder", "decoder"], lines: Sequence[Line | Encoded], tokens: Sequence[int], longest: int
) -> None:
    """WeftError for a line with more tokens, without the end, than this part of the model has positions for."""
    for line, number in zip(lines, tokens, strict=True):
        if number > longest:
            has = f"it has {number} tokens" if part == "encoder" else f"its output has {number} tokens or more"
            raise WeftError(
                f"line {line.number + 1}: {has}, but model.{part}.positions is {longest + 1}, one of them for the end"
            )


def lines_of(
    texts: Iterable[str],
    prefix: Iterable[str] | None = None,
    must: Iterable[Sequence[str]] | None = None,
    never: Iterable[Sequence[str]] | None = None,
) -> Iterator[Line]:
    """Each text with what belongs to it, as they come; WeftError where one is no text or ends before another."""
    given = {"the input": texts, "prefix": prefix, "must": must, "never": never}
    for name, values in given.items():
        if isinstance(values, str):
            raise WeftError(f"{name} is one string; expected a list with something for each line")
    columns: dict[str, Iterator[Any]] = {name: iter(values) for name, values in given.items() if values is not None}
    for number in count():
        row: dict[str, Any] = {name: next(values, ENDED) for name, values in columns.items()}
        if any(value is ENDED for value in row.values()):
            break
        text, prefix = (checked(name, number, row.get(name, "")) for name in ("the input", "prefix"))
        must_hold, never_holds = (phrases_of(name, number, row.get(name, ())) for name in ("must", "never"))
        yield Line(number, text, prefix, must_hold, never_holds)
    ended, longer = ([name for name, value in row.items() if (value is ENDED) == none] for none in (True, False))
    if longer:
        raise WeftError(
            f"{ended[0]} ends after {counted(number, 'line')}, {longer[0]} goes on: each line needs its own, "
            f"and an empty one stands for none"
        )


def checked(name: str, number: int, text: Any) -> str:
    """The text; WeftError where it is none."""
    if not isinstance(text, str):
        raise WeftError(f"{name} has {text!r} for line {number + 1}; expected a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"{ord(text[error.start]):04X}"
        raise WeftError(f"{name} has U+{half} in line {number + 1}, which is no character of any text") from None
    return text


def phrases_of(name: str, number: int, phrases: Any) -> list[str]:
    if isinstance(phrases, str):
        raise WeftError(f"{name} has {phrases!r} for a line; expected a list of phrases, such as [{phrases!r}]")
    if not isinstance(phrases, Iterable):
        raise WeftError(f"{name} has {phrases!r} for line {number + 1}; expected a list of phrases")
    return [text.strip() for phrase in phrases if (text := checked(name, number, phrase)).strip()]


class Writer:
    """Writes what outputs are asked to hold in ids of the target vocabulary."""

    def __init__(self, vocabulary: Vocabulary, spaced: bool) -> None:
        """`spaced`: whether a space stands before a phrase inside a sentence."""
        self.vocabulary = vocabulary
        self.between = " " if spaced else ""

    def encoded(self, line: Line, sources: tuple[Any, ...]) -> Encoded:
        """WeftError for what the vocabulary cannot say, and for a phrase that is wanted and unwanted."""
        must = [self.phrase(phrase) for phrase in line.must]
        for text, phrase in zip(line.must, must, strict=True):
            self.check(phrase.start[1:], f"must of line {line.number + 1}", text)
        sayable = (self.phrase(phrase) for phrase in line.never)
        never = [phrase for phrase in sayable if self.vocabulary.unk not in phrase.start]
        for text, phrase in zip(line.must, must, strict=True):
            if any(holds(phrase.inside, other.inside) for other in never):
                raise WeftError(f"line {line.number + 1} must hold '{text}', and never what is part of it")
        prefix = self.vocabulary.encode(line.prefix) if line.prefix else []
        self.check(prefix, f"prefix of line {line.number + 1}", line.prefix)
        return Encoded(line.number, sources, prefix, must, never)

    def phrase(self, text: str) -> Phrase:
        inside = self.vocabulary.encode(f"{ANCHOR}{self.between}{text}")[len(self.vocabulary.encode(ANCHOR)) :]
        return Phrase(inside, [self.vocabulary.bos, *self.vocabulary.encode(text)])

    def check(self, ids: list[int], where: str, text: str) -> None:
        unsayable = {self.vocabulary.unk, *self.vocabulary.line_breaks}
        if unsayable & set(ids):
            word = next((word for word in text.split() if self.vocabulary.unk in self.vocabulary.encode(word)), text)
            raise WeftError(f"{where} is {text!r}, but the model's vocabulary cannot say {word!r}")


def holds(ids: list[int], part: list[int]) -> bool:
    return any(ids[i : i + len(part)] == part for i in range(len(ids) - len(part) + 1))
