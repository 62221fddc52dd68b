"""Pairs of two invented languages, with the lengths and the many rare words of picture captions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from weft.files import write_text

CONSONANTS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "st", "tr", "kl", "")
VOWELS = ("a", "e", "i", "o", "u", "ai", "ou")
KINDS = {"determiner": 8, "adjective": 1500, "noun": 5000, "verb": 1500, "preposition": 25}


def word(draw: random.Random) -> str:
    return "".join(draw.choice(CONSONANTS) + draw.choice(VOWELS) for _ in range(draw.choice((1, 2, 2, 3, 3))))


class Language:
    """Words of each kind; the number of a word is its rank, and the chance of it falls with its rank (Zipf)."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.words = {kind: [word(draw) for _ in range(count)] for kind, count in KINDS.items()}

    def say(self, sentence: list[tuple[str, int]]) -> str:
        return " ".join(self.words[kind][rank] for kind, rank in sentence) + " ."


def phrase(draw: random.Random, noun_first: bool) -> list[tuple[str, int]]:
    """A determiner, up to two adjectives and a noun."""
    adjectives = [ranked(draw, "adjective") for _ in range(draw.choice((0, 0, 1, 1, 2)))]
    noun = ranked(draw, "noun")
    return [ranked(draw, "determiner"), *([noun, *adjectives] if noun_first else [*adjectives, noun])]


def ranked(draw: random.Random, kind: str) -> tuple[str, int]:
    count = KINDS[kind]
    return kind, min(count - 1, int(count ** draw.random()) - 1)


def pairs(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """The second language says the same words in its own order: the verb at the end, adjectives after the noun."""
    draw = random.Random(seed)
    ours, theirs = Language(1), Language(2)
    for _ in range(count):
        verb = ranked(draw, "verb")
        more = draw.choice((0, 1, 1, 2))
        places = [(ranked(draw, "preposition"), draw.getrandbits(32)) for _ in range(more)]
        first = draw.getrandbits(32)
        source, target = phrase(random.Random(first), False), phrase(random.Random(first), True)
        source.append(verb)
        for preposition, state in places:
            source += [preposition, *phrase(random.Random(state), False)]
            target += [preposition, *phrase(random.Random(state), True)]
        yield ours.say(source), theirs.say([*target, verb])


def write(folder: Path, name: str, count: int, seed: int) -> tuple[Path, Path]:
    """`count` pairs in two files of one line each."""
    both = list(pairs(count, seed))
    files = folder / f"{name}.one", folder / f"{name}.two"
    for side, file in enumerate(files):
        write_text(file, "".join(f"{pair[side]}\n" for pair in both))
    return files
