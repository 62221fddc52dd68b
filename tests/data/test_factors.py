"""Features beside the words of a source."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weft.recipe
from weft.data.batch import pad_factored
from weft.data.corpus import Prepared, prepare
from weft.data.examples import Examples, read_batch
from weft.data.factors import END, UNK, Factors, factored, shape, split, words_of
from weft.data.read import read_pairs
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.recipe import Columns, Parallel
from weft.recipe import Vocabulary as Settings

LINES = ["the cat sat", "a dog ran home", "the dog sat", "birds fly"]
COLUMNS = Columns(source=1, target=3, factors=[2])


def test_columns_become_one_line(tmp_path: Path) -> None:
    rows = [("the  cat", "DT NN", "B I"), ("birds", "NNS", "B")]
    (tmp_path / "t.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write("".join(",".join(row) + "\n" for row in rows))
    records = [dict(zip("abc", row, strict=True)) for row in rows]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), tmp_path / "t.parquet")
    (tmp_path / "words").write_text("the  cat\tDT NN\nbirds\tNNS\n")
    (tmp_path / "chunks").write_text("B I\nB\n")
    wanted = [("the cat\tDT NN", "B I"), ("birds\tNNS", "B")]
    for name in ("t.tsv", "t.csv.gz", "t.jsonl", "t.parquet"):
        assert list(read_pairs(str(tmp_path / name), COLUMNS)) == wanted, name
    parallel = Parallel(source=str(tmp_path / "words"), target=str(tmp_path / "chunks"))
    assert list(read_pairs(parallel, COLUMNS)) == wanted


def test_unequal_counts_are_told_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a b\tX Y\tO O\n\na b c\tX Y\tO O O\n")
    with pytest.raises(WeftError) as error:
        list(read_pairs(str(path), COLUMNS))
    assert str(error.value) == f"{path}:3: 2 features for 3 words; expected one for each: 'a b c', 'X Y'"


@pytest.mark.parametrize("line", ["a b", "a b\tX Y\tX Y", "a b\tX\tY"])
def test_other_columns_than_the_model_reads(line: str) -> None:
    with pytest.raises(WeftError, match=r"line 1: [02] columns of features beside the words; expected 1"):
        factored(line.split("\t"), 1, "line 1")


def test_an_empty_line_has_no_features() -> None:
    assert factored(["", " "], 1, "line 1") == factored([""], 1, "line 1") == ""


@pytest.mark.parametrize(
    ("word", "seen"),
    [("Paris", "Xxx"), ("NATO", "XX"), ("30-year", "dd-xx"), ("U.S.", "X.X."), ("'s", "'x"), ("a", "x")],
)
def test_shapes(word: str, seen: str) -> None:
    assert shape(word) == seen


def test_derived_factors_follow_the_columns() -> None:
    assert split("Big dogs\tJJ NNS", ["lower", "suffix2", "prefix3"]) == [
        ["JJ", "NNS"],
        ["big", "dogs"],
        ["ig", "gs"],
        ["Big", "dog"],
    ]


def test_frequent_features_are_known_and_others_unknown(tmp_path: Path) -> None:
    factors = Factors.learn(["a b c\tX X Y", "a\tX", "d e\tZ Y"], 1, ["lower"], size=5)
    assert factors.features == [["<pad>", "<unk>", "</s>", "X", "Y"], ["<pad>", "<unk>", "</s>", "a", "b"]]
    assert factors.ids("b zz\tY NEW").tolist() == [[4, 4], [UNK, UNK]]
    factors.save(tmp_path / "f.json")
    for other in (Factors.load(tmp_path / "f.json"), pickle.loads(pickle.dumps(factors))):
        assert other.record() == factors.record()
        assert other.ids("a\tX").tolist() == factors.ids("a\tX").tolist()


def test_damaged_features_are_told(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    with pytest.raises(WeftError, match="no such file"):
        Factors.load(path)
    for content in ("{", "[]", '{"columns": 1}'):
        path.write_text(content)
        with pytest.raises(WeftError, match="damaged"):
            Factors.load(path)


@pytest.fixture(scope="module", params=["word", "bpe", "unigram", "character"])
def vocabulary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path = tmp_path_factory.mktemp(request.param) / "source.model"
    return Vocabulary.learn(LINES * 3, Settings(kind=request.param, size=320), "identity", path)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["the", "cat", "dogs", "zebra", "ü"]), max_size=5), st.integers(0, 2**31 - 1))
def test_pieces_have_the_features_of_their_words(vocabulary: Vocabulary, words: list[str], seed: int) -> None:
    """Whatever the pieces; the words, put together again, tell which piece is of which."""
    line = " ".join(words)
    features = np.arange(10, 10 + 2 * len(words), dtype=np.int32).reshape(-1, 2)
    ways = [vocabulary.encode(line)]
    if words and not vocabulary.of_words and vocabulary.starts.sum() > 1 and "<0x00>" in vocabulary.pieces([4]):
        ways.append(vocabulary.sample(line, 0.3, seed))
    for ids in ways:
        batch = pad_factored([ids, ids[:0]], [features, features[:0]], vocabulary.starts, Vocabulary.eos)
        number = -1
        for piece, seen in zip(vocabulary.pieces(ids), batch.factors[0], strict=False):
            number += piece.startswith("▁") or number < 0 or (vocabulary.of_words and piece == "<unk>")
            assert seen.tolist() == features[number].tolist()
        assert batch.factors[0, len(ids)].tolist() == batch.factors[1, 0].tolist() == [END, END]
        assert not batch.factors[1, 1:].any()


def test_a_space_in_a_word_is_no_error(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("a▁b cat")
    batch = pad_factored([ids], [np.array([[5], [6]], np.int32)], vocabulary.starts, Vocabulary.eos)
    assert set(batch.factors[0, :, 0].tolist()) <= {5, 6, END}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[weft.recipe.Recipe, Prepared]:
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    rows = [f"{line}\t{' '.join(word[:1].upper() for word in line.split())}\t{line.upper()}" for line in LINES * 4]
    (tmp_path / "t.tsv").write_text("\n".join(rows) + "\n")
    given_settings = {
        "data": {"train": str(tmp_path / "t.tsv"), "columns": {"source": 1, "target": 3, "factors": [2]}},
        "vocabulary": {"source": {"kind": "bpe", "size": 300, "sampling": 0.5}, "factors": {"derived": ["suffix2"]}},
        "training": {"threads": 1},
    }
    recipe = weft.recipe.checked(given_settings, "test")
    return recipe, prepare(recipe)


def features_of(data: Prepared, row: int) -> list[list[str]]:
    """The features of each piece of a pair."""
    assert data.source.factors
    batch = read_batch(data.train, np.array([row]))
    names = data.source.factors.features
    return [[of[i] for of, i in zip(names, place, strict=True)] for place in batch.source.factors[0].tolist()]


def test_a_corpus_keeps_the_features_of_words(data: tuple[weft.recipe.Recipe, Prepared]) -> None:
    recipe, found = data
    line = found.train.source_text(0)
    words = words_of(line).split()
    pieces = found.source.pieces(found.train.source(0).tolist())
    number, wanted = -1, []
    for piece in pieces:
        number += piece.startswith("▁")
        wanted.append([words[number][:1].upper(), words[number][-2:]])
    assert features_of(found, 0) == [*wanted, ["</s>", "</s>"]]
    examples = Examples(recipe, found)
    drawn = [examples.batch(np.array([0]), epoch).source for epoch in range(6)]
    assert len({len(source.data[0]) for source in drawn}) > 1, "pieces are drawn anew"
    for source in drawn:
        assert source.factors.shape == (*source.data.shape, 2)
        assert source.part(np.array([0])).factors.equal(source.factors)


def test_the_cache_knows_features_apart(data: tuple[weft.recipe.Recipe, Prepared], tmp_path: Path) -> None:
    recipe, found = data
    assert prepare(recipe).fingerprint == found.fingerprint
    prints = {found.fingerprint}
    for change in ({"derived": ["suffix3"]}, {"derived": ["suffix2"], "size": 8}, {"derived": []}):
        changed = recipe.model_dump(mode="json")
        changed["vocabulary"]["factors"] = change
        prints.add(prepare(weft.recipe.checked(changed, "test")).fingerprint)
    path = tmp_path / "t.tsv"
    path.write_text(path.read_text().replace("\tT C S\t", "\tT C Z\t"))
    prints.add(prepare(recipe).fingerprint)
    assert len(prints) == 5
