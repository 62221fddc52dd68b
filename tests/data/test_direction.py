"""Backward is forward with the sides exchanged; both is each pair in both directions, told apart by a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft.recipe
from weft.data.corpus import Corpus, Prepared, prepare
from weft.data.direction import directed, tokens, turned
from weft.data.examples import Examples
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.recipe import Recipe

PAIRS = [(f"a{n} b{n % 7} c", f"x{n} y{n % 5}") for n in range(60)]
WORDS = {"kind": "word"}
CHARACTERS = {"kind": "character"}
SHARED = {"shared": True, "source": {"kind": "bpe", "size": 300}}


def recipe(train: object, vocabulary: dict[str, Any], noise: dict[str, Any] | None = None, **data: object) -> Recipe:
    settings = {"data": {"train": train, **data, "noise": noise or {}}, "vocabulary": vocabulary}
    return weft.recipe.checked({**settings, "source_language": "en", "target_language": "de"}, "test")


@pytest.fixture
def pairs_file(tmp_path: Path) -> str:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    return str(path)


def texts(corpus: Corpus, data: Prepared) -> list[tuple[str, str]]:
    return [(data.source.decode(corpus.source(i)), data.target.decode(corpus.target(i))) for i in range(len(corpus))]


# backward


def test_backward_exchanges_files_columns_languages_vocabularies_and_vectors() -> None:
    settings: dict[str, Any] = {
        "source_language": "en",
        "target_language": "de",
        "data": {
            "train": {"source": "a.en", "target": "a.de"},
            "also": [{"train": "more.tsv", "weight": 0.5}, {"train": {"source": ["b.en"], "target": ["b.de"]}}],
            "dev": {"source": "c.en", "target": "c.de"},
            "columns": {"source": "english", "target": "german", "header": True},
            "direction": "backward",
        },
        "vocabulary": {"source": WORDS, "target": CHARACTERS},
        "start": {"source_vectors": {"file": "en.vec"}, "target_vocabulary": "runs/words"},
    }
    expected = {
        **settings,
        "source_language": "de",
        "target_language": "en",
        "data": {
            "train": {"source": "a.de", "target": "a.en"},
            "also": [{"train": "more.tsv", "weight": 0.5}, {"train": {"source": ["b.de"], "target": ["b.en"]}}],
            "dev": {"source": "c.de", "target": "c.en"},
            "columns": {"source": "german", "target": "english", "header": True},
        },
        "vocabulary": {"source": CHARACTERS, "target": WORDS},
        "start": {"target_vectors": {"file": "en.vec"}, "target_vocabulary": "runs/words"},
    }
    backward = weft.recipe.checked(settings, "test")
    assert turned(backward) == weft.recipe.checked(expected, "test")
    assert turned(turned(backward)) == turned(backward)


def test_a_shared_vocabulary_stays_and_its_sampling_changes_sides() -> None:
    shared = {"shared": True, "source": {"kind": "unigram", "size": 99, "sampling": 0.2}, "target": {"sampling": 0.1}}
    after = turned(recipe("a.tsv", shared, direction="backward")).vocabulary
    assert (after.source.kind, after.source.size, after.source.sampling) == ("unigram", 99, 0.1)
    assert (after.shared, after.target.sampling) == (True, 0.2)


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_other_directions_stay_as_they_are(direction: str) -> None:
    given = recipe("a.tsv", SHARED, direction=direction)
    assert turned(given) is given


@pytest.mark.parametrize("header", [False, True])
def test_backward_data_is_forward_data_with_its_sides_exchanged(pairs_file: str, header: bool) -> None:
    if header:
        Path(pairs_file).write_text("source\ttarget\n" + Path(pairs_file).read_text())
    reverse = str(Path(pairs_file).with_name("reverse.tsv"))
    Path(reverse).write_text("".join(f"{target}\t{source}\n" for source, target in PAIRS))
    kinds = {"source": WORDS, "target": CHARACTERS}
    backward = prepare(recipe(pairs_file, kinds, direction="backward"))
    forward = prepare(recipe(reverse, {"source": CHARACTERS, "target": WORDS}))
    assert texts(backward.train, backward) == texts(forward.train, forward)
    assert backward.source.model_bytes == forward.source.model_bytes
    assert [backward.dev.source_text(i) for i in range(len(backward.dev))] == [
        forward.dev.source_text(i) for i in range(len(forward.dev))
    ]


@pytest.mark.parametrize("direction", ["backward", "both"])
@pytest.mark.parametrize("where", ["data.train", "data.dev", "data.also.0.train"])
def test_text_without_a_source_has_no_other_direction(pairs_file: str, direction: str, where: str) -> None:
    alone = {"source": None, "target": pairs_file}
    data: dict[str, Any] = {
        "data.train": {"train": alone},
        "data.dev": {"train": pairs_file, "dev": alone},
        "data.also.0.train": {"train": pairs_file, "also": [{"train": alone}]},
    }[where]
    with pytest.raises(WeftError, match=rf"^data\.direction is '{direction}', but {where} has no source"):
        prepare(recipe(vocabulary=SHARED, **data, direction=direction))


# both


def test_both_has_each_pair_in_both_directions(pairs_file: str) -> None:
    data = prepare(recipe(pairs_file, SHARED, direction="both"))
    one_way = prepare(recipe(pairs_file, SHARED))
    forward, backward = tokens(data.source)
    assert data.source.pieces([forward, backward]) == ["<forward>", "<backward>"]
    for both, alone in ((data.train, one_way.train), (data.dev, one_way.dev)):
        count = len(alone)
        assert (len(both), both.forward) == (2 * count, count)
        pairs = texts(alone, one_way)
        assert texts(both, data) == pairs + [(target, source) for source, target in pairs]
        assert [both.source(i)[0] for i in range(2 * count)] == [forward] * count + [backward] * count
        assert not any({forward, backward} & {*both.source(i)[1:], *both.target(i)} for i in range(2 * count))
        assert [len(both.source(i)) for i in range(2 * count)] == both.source_lengths.tolist()
        assert [len(both.target(i)) for i in range(2 * count)] == both.target_lengths.tolist()
    dev = data.dev
    assert dev.source_text(dev.forward) == dev.target_text(0) and dev.target_text(dev.forward) == dev.source_text(0)
    assert data.counts.kept == one_way.counts.kept


def test_an_epoch_has_both_directions_of_all_corpora_by_weight(pairs_file: str) -> None:
    other = Path(pairs_file).with_name("other.tsv")
    other.write_text("p q\tr s\nt\tu\n")
    settings = recipe(pairs_file, SHARED, direction="both", also=[{"train": str(other), "weight": 2}])
    data = prepare(settings)
    total, first = data.train.forward, data.counts.kept
    rows = np.concatenate(Examples(settings, data).order.epoch(3)) % len(data.train)
    expected = [*range(first), *range(total, total + first)]
    expected += 2 * [*range(first, total), *range(total + first, 2 * total)]
    assert sorted(rows.tolist()) == sorted(expected)


def test_noise_leaves_the_token_of_the_direction_where_it_is(pairs_file: str) -> None:
    noise = {"drop": 0.5, "mask": 0.5, "swap": 3, "characters": 0.3}
    vocabulary = {**SHARED, "source": {**SHARED["source"], "sampling": 0.3}}  # type: ignore[dict-item]
    settings = recipe(pairs_file, vocabulary, noise, direction="both")
    data = prepare(settings)
    examples = Examples(settings, data)
    for draw in examples.order.epoch(0):
        batch = examples.batch(draw, 0)
        for row, ids, length in zip(batch.rows, batch.source.data, batch.source.lengths.tolist(), strict=True):
            assert ids[0] == tokens(data.source)[int(row >= data.train.forward)]
            assert length >= 3 and not set(tokens(data.source)) & set(ids[1:length].tolist())


def test_text_is_never_taken_for_a_direction(pairs_file: str) -> None:
    data = prepare(recipe(pairs_file, SHARED, direction="both"))
    line = "<backward> a1 <forward>"
    ids = data.source.encode(line)
    assert not set(tokens(data.source)) & set(ids)
    assert data.source.decode(ids) == line
    assert data.source.decode([tokens(data.source)[0], *ids]) == line


def test_a_line_begins_with_the_token_of_its_direction(pairs_file: str) -> None:
    settings = recipe(pairs_file, SHARED, direction="both")
    vocabulary = prepare(settings).source
    forward, backward = tokens(vocabulary)
    assert directed([[9, 8], []], "forward", settings, vocabulary) == [[forward, 9, 8], []]
    assert directed([[9, 8], []], "backward", settings, vocabulary) == [[backward, 9, 8], []]


def test_a_model_of_one_direction_knows_no_other(pairs_file: str) -> None:
    settings = recipe(pairs_file, SHARED)
    vocabulary = prepare(settings).source
    assert directed([[9, 8], []], "forward", settings, vocabulary) == [[9, 8], []]
    with pytest.raises(WeftError, match=r"trained with data\.direction=both"):
        directed([[9, 8]], "backward", settings, vocabulary)


def test_a_vocabulary_without_the_tokens_is_refused(pairs_file: str) -> None:
    other = prepare(recipe(pairs_file, SHARED)).source
    with pytest.raises(WeftError, match="the vocabulary has no pieces <forward> and <backward>"):
        prepare(recipe(pairs_file, SHARED, direction="both"), (other, other))
    assert other.control("<s>") == Vocabulary.bos and other.control("a") is None


def test_two_vocabularies_cannot_be_used_both_ways() -> None:
    with pytest.raises(WeftError, match=r"data\.direction is 'both', which needs vocabulary\.shared: true"):
        recipe("a.tsv", {"source": WORDS, "target": WORDS}, direction="both")
