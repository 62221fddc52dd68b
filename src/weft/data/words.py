"""Lines to ids, without asking SentencePiece again for words that were there before."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from weft.data.ragged import Ragged
from weft.data.vocabulary import SPACE, Vocabulary

MOST = 1 << 17  # words that are kept
LONGEST = 32  # characters of a word that is kept
BPE, WORD = 2, 3  # of TrainerSpec.model_type in sentencepiece_model.proto

Rows = NDArray[np.int64]


class Words:
    """Encodes lines of one side to the ids that the vocabulary gives them.

    Where a vocabulary's pieces of a line are those of its words one after another, words are looked up, in a tenth
    of the time; it is so for words and for BPE without normalisation, whose merges do not go over a space (Sennrich et
    al. 2016), but not for unigram, where sums of floats over a line decide.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.apart = words_apart(vocabulary)
        self.known: dict[str, int] = {}  # a number of each word
        self.pieces = Ragged.of([])  # of each word, by its number
        self.lossy = np.zeros(0, np.bool_)  # whether it does not come back from its pieces

    def encode(self, lines: list[str]) -> tuple[Ragged, Rows]:
        """Ids of each line, and the places of the lines that are to come back from them, and may not."""
        if not self.apart or not lines:
            places = np.arange(len(lines)) if self.vocabulary.restores else np.zeros(0, np.int64)
            return Ragged.of(self.vocabulary.encode_lines(lines)), places
        words = " ".join(lines).split(" ")
        numbers = np.fromiter(map(self.known.get, words, repeat(-1)), np.int32, len(words))
        missing = np.flatnonzero(numbers < 0).tolist()
        self.learn({words[place] for place in missing})
        numbers[missing] = [self.known.get(words[place], -1) for place in missing]
        counts = np.fromiter((line.count(" ") for line in lines), np.int64, len(lines)) + 1
        starts = np.cumsum(counts) - counts
        asked = np.logical_or.reduceat(numbers < 0, starts)  # spaces that stand together make words of no characters
        doubtful = asked | np.logical_or.reduceat(np.append(self.lossy, True)[numbers], starts)
        rest = Ragged.of(self.vocabulary.encode_lines([lines[place] for place in np.flatnonzero(asked)]))
        found = self.pieces.rows(numbers[np.repeat(~asked, counts)]).joined(counts[~asked])
        return Ragged.merged(found, rest, asked), np.flatnonzero(doubtful)

    def learn(self, words: set[str]) -> None:
        new = sorted(word for word in words if 0 < len(word) <= LONGEST)[: MOST - len(self.known)]
        encoded = self.vocabulary.encode_lines(new)
        back = self.vocabulary.decode_lines(encoded)
        self.known.update(zip(new, range(len(self.known), len(self.known) + len(new)), strict=True))
        self.pieces = self.pieces.followed(Ragged.of(encoded))
        lossy = [word != other for word, other in zip(new, back, strict=True)]
        self.lossy = np.concatenate([self.lossy, np.array(lossy, np.bool_)])


def words_apart(vocabulary: Vocabulary) -> bool:
    """Whether the pieces of a line are those of its words, one after another."""
    if not vocabulary.restores:
        return False
    model = dict(fields(vocabulary.model_bytes))
    trainer, normalizer = (dict(fields(bytes(model.get(number, b"")))) for number in (2, 3))
    kind, rules, prefix = trainer.get(3), normalizer.get(2, b""), normalizer.get(3, 1)
    within = any(SPACE in piece[1:] for piece in vocabulary.pieces(range(vocabulary.size)))
    return kind in (BPE, WORD) and not rules and prefix == 1 and not within


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message in the wire format of Protocol Buffers."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
            continue
        length = varint() if wire == 2 else 8 if wire == 1 else 4
        yield number, message[place : place + length]
        place += length
