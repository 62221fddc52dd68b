"""Lines with words taken out, and what stood there: `the <gap> sat on the <gap>`, and `cat <gap> mat`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import shake_128

import numpy as np

from weft.data.cells import short
from weft.data.chance import Chance
from weft.data.lines import read_lines
from weft.data.noise import GAPS
from weft.data.read import Pair, expanded
from weft.data.vocabulary import SPACE, Vocabulary
from weft.errors import WeftError, counted
from weft.recipe import GAP, Gaps, Parallel

BETWEEN = f" {GAP} "


def read_gaps(files: Parallel, settings: Gaps) -> Iterator[Pair]:
    """Each line with gaps, always the same ones, and the answers to them; two empty strings of an empty line.

    Raises WeftError for a line that holds `GAP` already.
    """
    for name in expanded(files.target):
        for number, line in enumerate(read_lines(name), 1):
            if GAP in line:
                raise WeftError(f"{name}:{number}: holds {GAP}, which stands for words taken out: {short(line)}")
            digest = shake_128(line.encode()).digest(4 * draws(settings))
            yield with_gaps(line, settings, (np.frombuffer(digest, ">u4") / 2**32).tolist())


def other_gaps(lines: Sequence[str], settings: Gaps, chance: Chance) -> list[Pair]:
    """The same with gaps by chance."""
    rows, places = np.divmod(np.arange(len(lines) * draws(settings)), draws(settings))
    numbers = chance.uniform(GAPS, rows, places).reshape(len(lines), -1).tolist()
    return [with_gaps(line, settings, of_line) for line, of_line in zip(lines, numbers, strict=True)]


def draws(settings: Gaps) -> int:
    """Random numbers of a line: how many gaps, and of each how long it is and where."""
    return 1 + 2 * settings.count


def with_gaps(line: str, settings: Gaps, numbers: Sequence[float]) -> Pair:
    """The line with gaps, and the answers, by `draws` numbers in [0,1).

    A word stands between two gaps, and beside a single one, unless the line has no other. A short line has fewer and
    shorter gaps.
    """
    parts = line.split(" ")
    words = [place for place, part in enumerate(parts) if part.strip()]
    if not words:
        return "", ""
    count = min(1 + int(numbers[0] * settings.count), (len(words) + 1) // 2)
    room = max(1, (len(words) - max(1, count - 1)) // count)
    lengths = [min(1 + int(number * settings.longest), room) for number in numbers[1 : 1 + count]]
    spare = len(words) - sum(lengths) - (count - 1)
    skipped = sorted(int(number * (spare + 1)) for number in numbers[1 + settings.count :][:count])
    left, answers, end, start = [], [], 0, 0
    for before, length in zip(np.diff(skipped, prepend=0).tolist(), lengths, strict=True):
        start += before
        first, after = words[start], words[start + length - 1] + 1
        left += [*parts[end:first], GAP]
        answers.append(" ".join(parts[first:after]))
        start, end = start + length + 1, after
    return " ".join([*left, *parts[end:]]), BETWEEN.join(answers)


def filled(line: str, answer: str) -> str:
    """The line with the answers in its gaps; a gap without an answer stays one."""
    parts, answers = line.split(GAP), re.split(f" ?{GAP} ?", answer)
    answers += [GAP] * (len(parts) - 1 - len(answers))
    return parts[0] + "".join(said + part for said, part in zip(answers, parts[1:], strict=False))


def pieces_of_gaps(kind: str) -> list[str]:
    """What a gap is in a vocabulary of this kind; where a line begins, characters have no space before them."""
    return [SPACE + GAP, GAP] if kind == "character" else [SPACE + GAP]


class GapCheck:
    """Refuses lines that a model cannot fill."""

    def __init__(self, settings: Gaps, vocabulary: Vocabulary) -> None:
        """Raises WeftError where the vocabulary has no piece for a gap."""
        self.most = settings.count
        pieces = vocabulary.pieces(range(vocabulary.size))
        self.ids = {number for number, piece in enumerate(pieces) if piece.removeprefix(SPACE) == GAP}
        if not self.ids:
            raise WeftError(f"data.gaps is set, but the vocabulary has no piece {GAP}")

    def check(self, number: int, text: str, ids: Sequence[int]) -> None:
        """WeftError where a line, numbered from 0, has no gap, too many, or one in a word; an empty one has none."""
        found = sum(i in self.ids for i in ids)
        if ids and not found:
            raise WeftError(f"line {number + 1}: no {GAP} in it, as a word of its own, for the model to fill")
        if text.count(GAP) != found:
            raise WeftError(f"line {number + 1}: {GAP} is part of a word; expected a space on each side: {short(text)}")
        if found > self.most:
            raise WeftError(
                f"line {number + 1}: {counted(found, 'gap')}; the model fills at most {self.most} (data.gaps.count)"
            )
