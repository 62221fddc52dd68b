"""What is trained on: other noise and other pieces each time, the same whenever and wherever the time is the same."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_vocabulary import TEXT, learnt_once

import weft.recipe
from weft.data.batch import Batch
from weft.data.corpus import Prepared, prepare
from weft.data.examples import Examples, read_batch
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.recipe import Recipe

NOISE = {"drop": 0.2, "mask": 0.1, "swap": 2, "characters": 0.1, "target_drop": 0.2}
PIECES: dict[str, Any] = {"kind": "bpe", "size": 340}


@pytest.fixture
def pairs_file(tmp_path: Path) -> str:
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefgh", k=draw.randint(1, 6))) for _ in range(80)]
    lines = [
        (" ".join(draw.choices(words, k=draw.randint(1, 8))), " ".join(draw.choices(words, k=5))) for _ in range(150)
    ]
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in lines))
    return str(path)


def recipe(
    train: str, noise: dict[str, Any] | None = None, sampling: float = 0.0, seed: int = 1, **data: Any
) -> Recipe:
    side = {**PIECES, "sampling": sampling}
    given = {
        "data": {"train": train, "noise": noise or {}, **data},
        "vocabulary": {"source": side, "target": side},
        "training": {"batch_tokens": 200, "seed": seed},
    }
    return weft.recipe.checked(given, "test")


def equal(one: Batch, other: Batch) -> bool:
    return one.rows.tolist() == other.rows.tolist() and all(
        torch.equal(getattr(one, side).data, getattr(other, side).data)
        and torch.equal(getattr(one, side).lengths, getattr(other, side).lengths)
        for side in ("source", "fed", "gold")
    )


def lines(batch: Batch, side: str) -> dict[int, list[int]]:
    """The ids of each row."""
    padded = getattr(batch, side)
    return {
        int(row): ids[:length].tolist()
        for row, ids, length in zip(batch.rows, padded.data, padded.lengths.tolist(), strict=True)
    }


def whole(data: Prepared, examples: Examples, epoch: int, side: str) -> dict[int, list[int]]:
    return lines(examples.batch(np.arange(len(data.train)), epoch), side)


def test_without_noise_a_batch_is_what_the_corpus_holds(pairs_file: str) -> None:
    settings = recipe(pairs_file)
    data = prepare(settings)
    examples = Examples(settings, data)
    assert not data.train.has_text
    for draw in examples.order.epoch(0):
        batch = examples.batch(draw, 0)
        assert equal(batch, read_batch(data.train, draw))
        for row, ids in lines(batch, "source").items():
            assert ids == [*data.train.source(row), Vocabulary.eos]
        for row, ids in lines(batch, "gold").items():
            assert ids == [*data.train.target(row), Vocabulary.eos]
            assert lines(batch, "fed")[row] == [Vocabulary.bos, *ids[:-1]]


@pytest.mark.parametrize("also", [[], [{"train": "more.tsv", "weight": 1.5}]])
def test_what_goes_on_at_any_batch_equals_what_was_never_interrupted(
    pairs_file: str, also: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(pairs_file).parent)
    Path("more.tsv").write_text("".join(f"ab{n} c\td ef{n}\n" for n in range(9)))
    settings = recipe(pairs_file, NOISE, sampling=0.2, also=also)
    data = prepare(settings)
    assert data.train.has_text
    examples = Examples(settings, data)
    run = [examples.batch(draw, epoch) for epoch in range(2) for draw in examples.order.epoch(epoch)]
    position = 0
    for epoch in range(2):
        later = Examples(settings, prepare(settings))
        order = later.order.epoch(epoch)
        for draw in reversed(order):
            assert equal(later.batch(draw, epoch), run[position + len(order) - 1])
            position -= 1
        position += 2 * len(order)


def test_each_time_is_another_and_neither_depends_on_the_batch(pairs_file: str) -> None:
    settings = recipe(pairs_file, NOISE, sampling=0.2)
    data = prepare(settings)
    examples, others = Examples(settings, data), Examples(recipe(pairs_file, NOISE, 0.2, seed=2), data)
    count = len(data.train)
    for side in ("source", "gold", "fed"):
        first, second = (whole(data, examples, epoch, side) for epoch in (0, 1))
        assert sum(first[row] != second[row] for row in range(count)) > count / 2
        assert sum(first[row] != ids for row, ids in whole(data, others, 0, side).items()) > count / 2
        again = lines(examples.batch(np.arange(count, 2 * count), 0), side)  # the second time in the same epoch
        assert sum(first[row] != again[row] for row in range(count)) > count / 2
        for row in range(0, count, 7):
            assert lines(examples.batch(np.array([row]), 1), side)[row] == second[row]


def test_the_answer_is_not_noised(pairs_file: str) -> None:
    settings = recipe(pairs_file, NOISE)
    data = prepare(settings)
    batch = Examples(settings, data).batch(np.arange(len(data.train)), 0)
    plain = read_batch(data.train, batch.rows)
    assert torch.equal(batch.gold.data, plain.gold.data)
    changed = batch.fed.data != plain.fed.data
    assert changed.any() and (batch.fed.data[changed] == Vocabulary.unk).all()


def test_other_pieces_are_of_the_same_text(pairs_file: str) -> None:
    settings = recipe(pairs_file, sampling=0.3)
    data = prepare(settings)
    examples = Examples(settings, data)
    plain = read_batch(data.train, np.arange(len(data.train)))
    for epoch in range(3):
        batch = examples.batch(plain.rows, epoch)
        for row, ids in lines(batch, "source").items():
            assert data.source.decode(ids) == data.train.source_text(row)
            assert len(ids) <= settings.data.max_length + 1
        for row, ids in lines(batch, "gold").items():
            assert data.target.decode(ids) == data.train.target_text(row)
        assert batch.source.lengths.sum() > plain.source.lengths.sum()


def test_backward_samples_the_side_that_is_now_the_source(pairs_file: str) -> None:
    given = recipe(pairs_file, direction="backward").model_dump()
    given["vocabulary"]["target"]["sampling"] = 0.5
    backward = weft.recipe.checked(given, "test")
    data = prepare(backward)
    batch = Examples(backward, data).batch(np.arange(len(data.train)), 0)
    plain = read_batch(data.train, batch.rows)
    assert batch.source.lengths.sum() > plain.source.lengths.sum()
    assert torch.equal(batch.gold.data, plain.gold.data)


def test_pieces_that_would_be_too_many_are_those_of_the_corpus(pairs_file: str) -> None:
    settings = recipe(pairs_file, sampling=1.0, max_length=14)
    data = prepare(settings)
    batch = Examples(settings, data).batch(np.arange(len(data.train)), 0)
    for row, ids in lines(batch, "source").items():
        text = data.train.source_text(row)
        spelt = data.source.sample(text, 1.0, 1)
        assert ids[:-1] == (spelt if len(spelt) <= 14 else data.train.source(row).tolist())


def test_mistakes_are_made_in_the_text_and_encoded_again(pairs_file: str) -> None:
    settings = recipe(pairs_file, {"characters": 0.1})
    data = prepare(settings)
    assert data.source.letters == "abcdefgh"
    batch = Examples(settings, data).batch(np.arange(len(data.train)), 0)
    changed = 0
    for row, ids in lines(batch, "source").items():
        text, right = data.source.decode(ids), data.train.source_text(row)
        assert len(text.split(" ")) >= len(right.split(" ")) - right.count(" ")
        assert ids[:-1] == data.source.encode(text)
        changed += text != right
    assert changed > len(data.train) / 2


# the vocabulary's side


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["bpe", "unigram"]), TEXT, st.floats(0.01, 1.0), st.integers(0, 2**31 - 1))
def test_any_pieces_give_the_text_back(kind: Any, text: str, strength: float, seed: int) -> None:
    vocabulary = learnt_once(kind, True)
    ids = vocabulary.sample(text, strength, seed)
    assert vocabulary.decode(ids) == text
    assert bool(ids) == bool(vocabulary.encode(text))


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_depend_on_the_seed_alone(kind: Any) -> None:
    vocabulary = learnt_once(kind, True)
    line = "the cat sat on the mat two spaces three leading trailing"
    first = [vocabulary.sample(line, 0.3, seed) for seed in range(40)]
    vocabulary.sample("something else", 0.3, 99)
    again = [vocabulary.sample(line, 0.3, seed) for seed in reversed(range(40))]
    assert again[::-1] == first
    assert len({tuple(ids) for ids in first}) > 10
    assert vocabulary.encode(line) == vocabulary.encode(line)


@pytest.mark.parametrize("kind", ["word", "character"])
def test_words_and_characters_cannot_be_sampled(kind: str) -> None:
    given = {"data": {"train": "a.tsv"}, "vocabulary": {"source": {"kind": kind, "sampling": 0.1}}}
    with pytest.raises(WeftError, match=rf"vocabulary sampling needs kind bpe or unigram; a {kind}"):
        weft.recipe.checked(given, "test")
    shared = {"shared": True, "source": {"kind": kind}, "target": {"sampling": 0.1}}
    checked = weft.recipe.checked({"data": {"train": "a.tsv"}, "vocabulary": shared}, "test")
    with pytest.raises(WeftError, match=r"^vocabulary\.target\.sampling is 0\.1, but vocabulary\.shared has one"):
        prepare(checked)
