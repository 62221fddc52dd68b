"""Several corpora, text without a source, and which settings make prepared data another."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft.data.preparation
import weft.data.workers
import weft.recipe
from weft.data import captions, direction, factors, first_line, tagged
from weft.data.cache import fingerprint
from weft.data.corpus import Corpus, Prepared, prepare
from weft.data.survey import hash64
from weft.errors import WeftError
from weft.recipe import Recipe

WORDS = {"kind": "word"}
PAIRS = [(f"a{n} b{n % 7} c", f"x{n} y{n % 5}") for n in range(100)]
MORE = [(f"d{n} b{n % 3}", f"z{n}") for n in range(30)]
SHARED: dict[str, Any] = {"shared": True, "source": {"kind": "bpe", "size": 300}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tsv("a.tsv", PAIRS)
    tsv("b.tsv", MORE)


def tsv(name: str, pairs: list[tuple[str, str]]) -> str:
    Path(name).write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return name


def recipe(vocabulary: dict[str, Any] | None = None, **data: Any) -> Recipe:
    vocabulary = vocabulary or {"source": WORDS, "target": WORDS}
    return weft.recipe.checked({"data": {"train": "a.tsv", **data}, "vocabulary": vocabulary}, "test")


def texts(corpus: Corpus, data: Prepared) -> list[tuple[str, str]]:
    return [(data.source.decode(corpus.source(i)), data.target.decode(corpus.target(i))) for i in range(len(corpus))]


def dev_texts(data: Prepared) -> list[tuple[str, str]]:
    return [(data.dev.source_text(i), data.dev.target_text(i)) for i in range(len(data.dev))]


def refused(settings: Recipe) -> str:
    with pytest.raises(WeftError) as error:
        prepare(settings)
    return str(error.value)


# several corpora


def test_corpora_lie_one_after_another_and_share_their_vocabularies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.data.preparation, "BLOCK", 17)
    data = prepare(recipe(also=[{"train": "b.tsv", "weight": 2}, {"train": ["b.tsv"]}]))
    alone = prepare(recipe())
    assert dev_texts(data) == dev_texts(alone)
    assert texts(data.train, data) == [*texts(alone.train, alone), *MORE, *MORE]
    assert [part.kept for part in data.counts.parts] == [len(alone.train), 30, 30]
    assert data.mix.sizes == [len(alone.train), 30, 30] and data.mix.weights == [1, 2, 1]
    assert (data.counts.read, data.counts.also[0].read) == (100, 30)


def test_each_corpus_is_counted_by_itself() -> None:
    bad = [("", "x"), ("a", " "), ("c " * 9, "x")]
    tsv("b.tsv", [*MORE, *bad, MORE[3], PAIRS[0]])
    data = prepare(recipe(max_length=8, dev="b.tsv", also=[{"train": "b.tsv"}], duplicates="drop"))
    (part,) = data.counts.also
    assert (part.read, part.kept, part.empty_source, part.empty_target, part.too_long) == (35, 30, 1, 1, 1)
    assert part.duplicates == 2  # one of its own, one of data.train
    assert data.counts.report()[3] == (
        "data.also.0: 35 pairs read; 5 left out: 1 with an empty source, 1 with an empty target, 1 longer than 8 "
        "pieces, 2 there before; 30 pairs to train on"
    )
    kept = prepare(recipe(max_length=8, dev="b.tsv", also=[{"train": "b.tsv"}]))
    assert kept.counts.also[0].kept == 32
    assert "2 pairs were there before (kept; data.duplicates: drop leaves them out)" in kept.counts.report()[3]


def test_sources_of_the_split_off_development_set_are_left_out_of_the_others() -> None:
    held_out = {source for source, _ in PAIRS if hash64(source) < 0.2 * 2**64}
    others = [("new", "x"), *((source, "another answer") for source, _ in PAIRS)]
    tsv("b.tsv", others)
    data = prepare(recipe(dev_fraction=0.2, also=[{"train": "b.tsv"}]))
    assert {source for source, _ in dev_texts(data)} == held_out
    assert not held_out & {source for source, _ in texts(data.train, data)}
    (part,) = data.counts.also
    assert (part.held_out, part.kept) == (len(held_out), 101 - len(held_out))
    assert f"{len(held_out)} with a source of the development set" in part.summary()
    given = prepare(recipe(dev="a.tsv", also=[{"train": "b.tsv"}]))
    assert given.counts.also[0].held_out == 0


def test_what_is_wrong_with_another_corpus_is_told_with_its_key() -> None:
    assert refused(recipe(also=[{"train": "b.tsv"}, {"train": "c.tsv"}])).startswith(
        "data.also.1.train: c.tsv: no such file; did you mean '"
    )
    assert refused(recipe(also=[{"train": "*.csv"}])) == "data.also.0.train: *.csv: no file matches"
    Path("c.tsv").write_text("a\tb\nc\n")
    assert refused(recipe(also=[{"train": "c.tsv"}])).startswith(
        "data.also.0.train: c.tsv:2: 1 column found, 2 expected"
    )
    tsv("d.tsv", [("", "x")])
    assert refused(recipe(also=[{"train": "d.tsv"}])) == (
        "data.also.0.train: no usable pair: 1 pair read; 1 left out: 1 with an empty source"
    )
    tsv("e.tsv", PAIRS[:2])
    assert refused(recipe(also=[{"train": "e.tsv"}], duplicates="drop", dev="b.tsv")) == (
        "data.also.0.train: no pair is left to train on: 2 pairs read; 2 left out: 2 there before"
    )


@pytest.mark.parametrize("weight", [0, -1, "much", float("inf")])
def test_weights_that_cannot_be_are_refused(weight: Any) -> None:
    with pytest.raises(WeftError, match=r"'data\.also\.0\.weight' is "):
        recipe(also=[{"train": "b.tsv", "weight": weight}])


def test_standard_input_may_be_another_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("b.tsv").read_bytes())))
    data = prepare(recipe(also=[{"train": "-"}]))
    assert texts(data.train, data)[-30:] == MORE
    assert "stands in 2 places" in refused(recipe(train="-", also=[{"train": "-"}]))


# in several processes


def files_of(cache: Path) -> dict[str, bytes]:
    (folder,) = cache.glob("*/")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_any_number_of_processes_prepares_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.data.preparation, "BLOCK", 40)
    monkeypatch.setattr(weft.data.workers, "FEW", 1)
    tsv("a.tsv", [*PAIRS, ("", "x"), ("a", ""), ("c " * 300, "x"), PAIRS[3], ("a  b", "\u2581 x"), *MORE])
    made = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("WEFT_CACHE", str(tmp_path / f"cache{threads}"))
        settings = recipe({"source": {"kind": "bpe", "size": 300}, "target": WORDS}, also=[{"train": "b.tsv"}])
        said: list[str] = []
        prepare(
            settings.model_copy(update={"training": settings.training.model_copy(update={"threads": threads})}),
            report=said.append,
        )
        assert re.fullmatch(r"encoded 1[56]\d pairs, [\d,]+ a second", said[-1])
        found = files_of(tmp_path / f"cache{threads}")
        made.append({**found, "counts.json": {**json.loads(found["counts.json"]), "seconds": 0}})
    assert made[0] == made[1] == made[2]
    assert made[0]["counts.json"]["round_trip_failures"] > 0


# text without a source


def lines(name: str, given: list[str]) -> dict[str, Any]:
    Path(name).write_text("".join(f"{line}\n" for line in given), "utf-8")
    return {"source": None, "target": name}


def test_text_without_a_source_is_split_and_counted_by_its_lines() -> None:
    given = [f"w{n % 70} v{n % 3}" for n in range(210)]  # each line three times
    settings = recipe(train=lines("a.txt", [*given, "", "  ", "w " * 300]), dev_fraction=0.2, duplicates="drop")
    data = prepare(settings)
    held_out = {line for line in given if hash64(line) < 0.2 * 2**64}
    assert {target for _, target in dev_texts(data)} == held_out and not any(source for source, _ in dev_texts(data))
    train = [line for line in dict.fromkeys(given) if line not in held_out]
    assert texts(data.train, data) == [("", line) for line in train]
    assert data.train.source_lengths.max() == 0
    counts = data.counts
    assert (counts.empty_source, counts.empty_target, counts.too_long) == (0, 2, 1)
    assert not any("source" in line for line in counts.report())
    assert data.source.model_bytes == data.target.model_bytes


def test_a_development_file_may_be_without_a_source_too() -> None:
    data = prepare(recipe(train=lines("a.txt", ["a b", "c d"]), dev=lines("b.txt", ["a d", "", "e"])))
    assert dev_texts(data) == [("", "a d"), ("", "e")]
    assert data.counts.dev_empty == 1


def test_pairs_and_text_without_a_source_are_mixed() -> None:
    data = prepare(recipe(also=[{"train": lines("a.txt", ["x1 y2 y3", ""]), "weight": 0.5}]))
    assert texts(data.train, data)[-1] == ("", "x1 y2 y3")
    assert (data.counts.also[0].kept, data.counts.also[0].empty_target) == (1, 1)
    assert data.source.model_bytes != data.target.model_bytes


def test_one_vocabulary_of_text_without_a_source() -> None:
    data = prepare(recipe(SHARED, train=lines("a.txt", ["some text", "more text", "less"])))
    assert data.source is data.target


def test_text_without_a_source_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b\nb c\n")))
    data = prepare(recipe(train={"source": None, "target": "-"}))
    assert sorted(data.target.decode(data.train.target(0)) + dev_texts(data)[0][1]) == sorted("a bb c")


# what makes prepared data another


def key(settings: Recipe) -> str:
    return fingerprint(settings, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda: recipe(also=[{"train": "b.tsv"}]),
        lambda: recipe(train={"source": "a.tsv", "target": "a.tsv"}),
        lambda: recipe(train={"source": None, "target": "a.tsv"}),
        lambda: recipe(SHARED, direction="both"),
        lambda: recipe(noise={"characters": 0.1}),
        lambda: sampled(0.1, 0.0),
        lambda: sampled(0.0, 0.1),
    ],
)
def test_what_changes_the_stored_data_changes_the_key(change: Callable[[], Recipe]) -> None:
    others = [recipe(), recipe(SHARED), sampled(0.0, 0.0)]
    assert key(change()) not in {key(other) for other in others}


def test_what_first_lines_are_taken_for_is_part_of_the_key(tmp_path: Path) -> None:
    tsv("h.tsv", [("en", "de"), *(("some words", "einige Worte") for _ in range(9))])
    found, *said = (key(recipe(train="h.tsv", columns={"header": header})) for header in (None, True, False))
    assert found == said[0] != said[1]
    said = [key(recipe(columns={"header": header})) for header in (True, False)]
    assert said[0] != said[1] == key(recipe())


def test_a_form_that_data_has_not_leaves_no_trace_in_the_key() -> None:
    plain = recipe()
    assert factors.shaping(plain, None) == {}
    assert [form.shaping(plain) for form in (captions, direction, tagged)] == [{}] * 3
    assert first_line.shaping(recipe(columns={"source": "en"})) == {}
    assert direction.shaping(recipe(SHARED, direction="both")) == {"direction": "both"}


def sampled(source: float, target: float, **data: Any) -> Recipe:
    return recipe({"source": {"sampling": source}, "target": {"sampling": target}}, **data)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: recipe(noise={"drop": 0.1, "mask": 0.1, "swap": 3, "target_drop": 0.2}), lambda: recipe()),
        (lambda: sampled(0.1, 0.0), lambda: sampled(0.3, 0.2)),
        (lambda: sampled(0.1, 0.0), lambda: sampled(0.0, 0.0, noise={"characters": 0.5})),
        (lambda: recipe(also=[{"train": "b.tsv"}]), lambda: recipe(also=[{"train": "b.tsv", "weight": 0.3}])),
    ],
)
def test_what_is_done_on_the_fly_leaves_the_key(one: Callable[[], Recipe], other: Callable[[], Recipe]) -> None:
    assert key(one()) == key(other())


def test_the_weight_of_the_recipe_counts_not_that_of_the_cache() -> None:
    assert prepare(recipe(also=[{"train": "b.tsv"}])).mix.weights == [1, 1]
    assert prepare(recipe(also=[{"train": "b.tsv", "weight": 4}])).mix.weights == [1, 4]
