"""Word vectors come out of every format as they were written, and what is damaged is told."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from weft.data.bytestream import read_bytes
from weft.data.fasttext import Arguments, ngrams
from weft.data.vectors import read_vectors, width_of
from weft.errors import WeftError

WIDTH = 5
WORDS = ["</s>", "der", "Hund", "grüßt", "猫", "co\u00a0op", "."]
VECTORS = np.random.default_rng(1).normal(size=(len(WORDS), WIDTH)).astype(np.float32)


def row(number: int) -> str:
    return " ".join(repr(float(value)) for value in VECTORS[number])


def glove(between: str = "\n") -> bytes:
    return "".join(f"{word} {row(number)}{between}" for number, word in enumerate(WORDS)).encode()


def header() -> bytes:
    return f"{len(WORDS)} {WIDTH}\n".encode()


def word2vec_text() -> bytes:
    """word2vec.c writes a space after each number, and a line end."""
    return header() + glove(" \n")


def word2vec_binary(between: bytes = b"\n") -> bytes:
    """word2vec.c: "%s " and then the floats and a line end, which gensim's older files lack."""
    return header() + b"".join(
        word.encode() + b" " + VECTORS[number].tobytes() + between for number, word in enumerate(WORDS)
    )


def fasttext_model(
    words: Sequence[str],
    matrix: np.ndarray,
    *,
    labels: Iterable[str] = (),
    kind: int = 2,
    buckets: int = 0,
    shortest: int = 3,
    longest: int = 6,
    version: int = 12,
    quantised: bool = False,
    pruned: int = -1,
) -> bytes:
    """What FastText::saveModel writes: cbow 1, skipgram 2, supervised 3."""
    width = matrix.shape[1]
    made = struct.pack("<2i", 793712314, version)
    made += struct.pack("<12id", width, 5, 5, 1, 5, 1, 2, kind, buckets, shortest, longest, 100, 1e-4)
    entries = [*((word, 0) for word in words), *((label, 1) for label in labels)]
    made += struct.pack("<3i2q", len(entries), len(words), len(entries) - len(words), 1000, pruned)
    for word, label in entries:
        made += word.encode() + b"\0" + struct.pack("<qb", 10, label)
    made += struct.pack("<?2q", quantised, *matrix.shape) + matrix.astype("<f4").tobytes()
    return made + struct.pack("<?2q", False, 1, width) + bytes(4 * width)  # the output matrix


FORMATS: dict[str, Callable[[], bytes]] = {
    "GloVe": glove,
    "GloVe without a last line end": lambda: glove()[:-1],
    "with carriage returns": lambda: glove("\r\n"),
    "word2vec text": word2vec_text,
    "fastText .vec": lambda: header() + glove(),
    "word2vec binary": word2vec_binary,
    "gensim binary": lambda: word2vec_binary(b""),
    "fastText without n-grams": lambda: fasttext_model(WORDS, VECTORS, longest=0, shortest=0),
    "fastText supervised": lambda: fasttext_model(
        WORDS, VECTORS, kind=3, longest=6, version=11, labels=["__label__der", "der."], buckets=0
    ),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": lambda data: pyarrow.Codec("zstd").compress(data, asbytes=True),
}


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("made", FORMATS.values(), ids=FORMATS.keys())
def test_vectors_come_out_as_they_were_written(tmp_path: Path, made: Callable[[], bytes], suffix: str) -> None:
    path = tmp_path / f"vectors{suffix}"
    path.write_bytes(PACKED[suffix](made()))
    assert width_of(str(path)) == WIDTH
    asked = ["Hund", "grüßt", "猫", "co\u00a0op", "Katze"]
    found = read_vectors(str(path), asked)
    assert list(found.keys() ^ set(asked)) == ["Katze"]
    for word, vector in found.items():
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, VECTORS[WORDS.index(word)])


def test_files_larger_than_a_block_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("bytestream", "lines"):
        monkeypatch.setattr(f"weft.data.{module}.CHUNK", 64)
    monkeypatch.setattr("weft.data.fasttext.BLOCK", 11)
    for number, made in enumerate(FORMATS.values()):
        path = tmp_path / str(number)
        path.write_bytes(made())
        np.testing.assert_array_equal(read_vectors(str(path), ["."])["."], VECTORS[-1])


def test_words_with_spaces_and_repeated_words(tmp_path: Path) -> None:
    """GloVe's 840B vectors have words such as `. . .`; of a word that is there again the first holds."""
    path = tmp_path / "vectors.txt"
    path.write_text("der 1 2\n. . . 3 4\nder 5 6\nat name@domain.com 7 8\n\n")
    found = read_vectors(str(path), ["der", ".", "at", ". . ."])
    assert {word: vector.tolist() for word, vector in found.items()} == {"der": [1.0, 2.0], ". . .": [3.0, 4.0]}


def fnv(text: str) -> int:
    """Dictionary::hash, over signed bytes."""
    code = 2166136261
    for byte in text.encode():
        signed = byte - 256 if byte > 127 else byte
        code = ((code ^ (signed % 2**32)) * 16777619) % 2**32
    return code


def test_ngrams_of_characters_are_those_of_fasttext() -> None:
    settings = Arguments(WIDTH, 1000, 3, 4)
    expected = ["<Tü", "<Tür", "Tür", "Tür>", "ür>"]
    assert list(ngrams("Tür", settings)) == [fnv(ngram) % 1000 for ngram in expected]
    one = Arguments(WIDTH, 1000, 1, 2)  # neither < nor > alone
    assert list(ngrams("ab", one)) == [fnv(ngram) % 1000 for ngram in ["<a", "a", "ab", "b", "b>"]]
    assert fnv("a") == 0xE40C292C  # as published with the function
    assert list(ngrams("</s>", settings)) == []


def test_fasttext_makes_vectors_of_ngrams(tmp_path: Path) -> None:
    """In the dictionary or not, as FastText::getWordVector does; too short for any, there is none."""
    buckets, words = 50, ["</s>", "Hund"]
    matrix = np.random.default_rng(2).normal(size=(len(words) + buckets, WIDTH)).astype(np.float32)
    path = tmp_path / "model.bin"
    path.write_bytes(fasttext_model(words, matrix, buckets=buckets, shortest=3, longest=3))
    found = read_vectors(str(path), ["Hund", "Hunde", "</s>", "", "neu"])

    def rows(*texts: str) -> list[int]:
        return [len(words) + fnv(text) % buckets for text in texts]

    expected = {
        "Hund": [1, *rows("<Hu", "Hun", "und", "nd>")],
        "Hunde": rows("<Hu", "Hun", "und", "nde", "de>"),
        "neu": rows("<ne", "neu", "eu>"),
        "</s>": [0],
    }
    assert found.keys() == expected.keys()
    for word, places in expected.items():
        np.testing.assert_allclose(found[word], matrix[places].mean(0), rtol=1e-5, atol=1e-6)


BINARY = word2vec_binary()
MODEL = fasttext_model(WORDS, VECTORS)
DAMAGED = {
    "mixed width": (b"der 1 2 3\nHund 1 2\n", ":2: 2 numbers after the word; expected 3"),
    "mixed width, wider": (b"der 1 2 3\nHund 1 2 3 4\n", ":2: 4 numbers after the word; expected 3"),
    "mixed width after a header": (b"2 3\nder 1 2 3\nHund 1 2\n", ":3: 2 numbers after the word; expected 3"),
    "another width than the header's": (b"2 4\nder 1 2 3\nHund 1 2 3\n", ":2: 3 numbers after the word; expected 4"),
    "no number": (b"der 1 2 3\nHund 1 x 3\n", ":2: not all of it are numbers"),
    "not finite": (b"der 1 2\nHund 1 nan\n", ": the vector of 'Hund' has a number that is not finite"),
    "fewer words": (
        b"3 2\nder 1 2\nHund 1 2\n",
        ": cut off, or of another kind: its first line speaks of 3 words",
    ),
    "more words": (
        b"1 2\nder 1 2\nHund 1 2\n",
        ": cut off, or of another kind: its first line speaks of 1 word",
    ),
    "text": (b"der Hund bellt\n", ":1: not known as word vectors; expected the text or binary format of word2vec"),
    "nothing": (b"", ":1: not known as word vectors"),
    "binary, cut off in a vector": (
        BINARY[:-3],
        f": cut off: it ends at byte {len(BINARY) - 3}, in word 7 of 7",
    ),
    "binary, cut off in a word": (BINARY[:80], ": cut off: it ends at byte 80, in word "),
    "binary, too long": (BINARY + b"abc", f" of width 5, which end at byte {len(BINARY) - 1}, and more follows"),
    "model, cut off in its arguments": (MODEL[:30], ": cut off: it ends at byte 30, in its arguments, where 34 more"),
    "model, cut off in its dictionary": (MODEL[:110], ": cut off: it ends at byte 110, in entry 2 of 7 of its diction"),
    "model, cut off in its matrix": (MODEL[:-60], ", in row 1 to 7 of its matrix, where"),
    "model, quantised": (fasttext_model(WORDS, VECTORS, quantised=True), ": is a quantised model of fastText"),
    "model, pruned": (fasttext_model(WORDS, VECTORS, pruned=0), ": is a pruned model of fastText"),
    "model of a later version": (fasttext_model(WORDS, VECTORS, version=13), ": is of version 13 of fastText's models"),
    "model without its buckets": (
        fasttext_model(WORDS, VECTORS, buckets=9),
        ": damaged: its matrix has 7 rows",
    ),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_damaged_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(WeftError) as error:
        read_vectors(str(path), ["Hund", "der"])
    assert f"{path}{message}" in str(error.value) or (message.startswith((",", " ")) and message in str(error.value))


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "english.vec").write_text("a 1\n")
    with pytest.raises(WeftError, match=r"english.ve: no such file; did you mean 'english.vec'\?"):
        width_of(str(tmp_path / "english.ve"))
    with pytest.raises(WeftError, match="is a folder"):
        width_of(str(tmp_path))
    with pytest.raises(WeftError, match="is no file, and word vectors are read twice"):
        width_of("/dev/null")


def test_bytes_are_held_only_as_long_as_needed(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"one two\nthree")
    with read_bytes(str(path)) as data:
        assert data.peek(3) == b"one" and data.offset == 0
        assert data.until(b" ", "") == b"one" and data.offset == 4
        assert list(data.lines()) == [b"two", b"three"]
        assert data.peek(1) == b"" and data.offset == 13
