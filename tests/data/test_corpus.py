"""Prepared data holds what the files hold, is found again by content, and survives whatever goes wrong."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import weft.data.cache
import weft.data.preparation
import weft.data.store
import weft.recipe
from weft.data.cache import cache_folder, digest, spool
from weft.data.corpus import Corpus, Prepared, prepare
from weft.data.encoding import changed
from weft.data.read import read_pairs
from weft.data.store import Store
from weft.data.survey import hash64
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.recipe import Columns, Recipe

WORDS = {"kind": "word"}
LINES = [(f"a{n} b{n % 7} c", f"x{n} y{n % 5}") for n in range(200)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def recipe(train: object, vocabulary: dict[str, Any] | None = None, **data: object) -> Recipe:
    vocabulary = vocabulary or {"source": WORDS, "target": WORDS}
    return weft.recipe.checked({"data": {"train": train, **data}, "vocabulary": vocabulary}, "test")


def tsv(path: Path, pairs: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8", newline="\n")
    return str(path)


def texts(corpus: Corpus, prepared: Prepared) -> list[tuple[str, str]]:
    decode = prepared.source.decode, prepared.target.decode
    return [(decode[0](corpus.source(i)), decode[1](corpus.target(i))) for i in range(len(corpus))]


def dev_texts(prepared: Prepared) -> list[tuple[str, str]]:
    dev = prepared.dev
    return [(dev.source_text(i), dev.target_text(i)) for i in range(len(dev))]


def said(settings: Recipe) -> list[str]:
    lines: list[str] = []
    prepare(settings, report=lines.append)
    return lines


def made_anew(settings: Recipe) -> bool:
    return bool(said(settings))


# what is held


def test_train_and_dev_are_all_pairs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.data.preparation, "BLOCK", 64)
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", LINES)))
    dev, train = dev_texts(prepared), texts(prepared.train, prepared)
    assert sorted(dev + train) == sorted(LINES)
    assert train == [pair for pair in LINES if pair not in dev]
    assert dev == [pair for pair in LINES if pair in dev]
    assert 0 < len(dev) < 40
    assert (prepared.counts.read, prepared.counts.kept, prepared.counts.dev) == (200, len(train), len(dev))
    assert not prepared.train.has_text and prepared.dev.has_text


def test_views_and_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.data.preparation, "BLOCK", 7)
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", LINES)))
    for corpus in (prepared.train, prepared.dev):
        rows = range(len(corpus))
        assert corpus.source_lengths.dtype == corpus.target_lengths.dtype == np.int32
        assert [len(corpus.source(i)) for i in rows] == corpus.source_lengths.tolist()
        assert [len(corpus.target(i)) for i in rows] == corpus.target_lengths.tolist()
        ids = corpus.source(np.int64(len(corpus) - 1))  # type: ignore[arg-type]
        assert ids.dtype == np.int32
        with pytest.raises(IndexError):
            corpus.source(len(corpus))


def test_vocabularies_are_learnt_from_the_training_part_alone(tmp_path: Path) -> None:
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", LINES), dev_fraction=0.3))
    pieces = set(prepared.source.pieces(range(prepared.source.size)))
    for source, _ in dev_texts(prepared):
        assert "▁" + source.split()[0] not in pieces
    assert prepared.counts.unknown_source > 0.05
    assert any("% of the source pieces are unknown" in line for line in prepared.counts.report())


def test_shared_vocabulary_holds_both_sides(tmp_path: Path) -> None:
    shared = {"shared": True, "source": {"kind": "bpe", "size": 300}}
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", LINES), shared))
    assert prepared.source is prepared.target
    assert {"a", "x", "y"} <= set(prepared.source.pieces(range(prepared.source.size)))
    assert texts(prepared.dev, prepared) == dev_texts(prepared)


def test_given_vocabularies_are_used(tmp_path: Path) -> None:
    first = prepare(recipe(tsv(tmp_path / "a.tsv", LINES)))
    other = recipe(tsv(tmp_path / "b.tsv", [("a1 new", "x1"), ("a2 c", "new"), ("a3", "x3")]))
    second = prepare(other, (first.source, first.target))
    assert second.source.model_bytes == first.source.model_bytes
    assert second.target.model_bytes == first.target.model_bytes
    third = prepare(other)
    assert third.source.model_bytes != first.source.model_bytes


def test_a_development_file_is_held_whole_with_its_text(tmp_path: Path) -> None:
    dev = [("a1  b", "x"), ("a1  b", "x"), ("", "y"), ("z", " "), ("c " * 9, "x")]
    prepared = prepare(
        recipe(tsv(tmp_path / "a.tsv", LINES), dev=tsv(tmp_path / "b.tsv", dev), max_length=8, duplicates="drop")
    )
    assert dev_texts(prepared) == dev[:2]
    assert len(prepared.train) == len(LINES)
    assert (prepared.counts.dev, prepared.counts.dev_empty, prepared.counts.dev_too_long) == (2, 2, 1)
    expected = "200 pairs to train on, 2 for development; 3 left out: 2 with an empty side, 1 longer than 8 pieces"
    assert expected in prepared.counts.report()


# what is left out


def test_every_pair_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    bad = [("", "x"), (" \u3000", "y"), ("a", ""), ("c " * 300, "x"), ("a", "x " * 257)]
    train = tsv(tmp_path / "a.tsv", [*LINES, *bad, *LINES[:20]])
    dev = tsv(tmp_path / "dev.tsv", LINES[:3])
    counts = prepare(recipe(train, dev=dev, duplicates="drop")).counts
    assert (counts.read, counts.kept, counts.duplicates) == (225, 200, 20)
    assert counts.report()[0] == (
        "225 pairs read; 25 left out: 2 with an empty source, 1 with an empty target, 2 longer than 256 pieces, "
        "20 there before"
    )
    counts = prepare(recipe(train, dev=dev)).counts
    assert (counts.kept, counts.duplicates) == (220, 20)
    assert counts.report()[0].startswith("225 pairs read; 5 left out: ")
    assert "20 pairs were there before (kept; data.duplicates: drop leaves them out)" in counts.report()


def test_dropped_duplicates_leave_the_first(tmp_path: Path) -> None:
    pairs = [("b", "1"), ("a", "1"), ("b", "1"), ("b", "2"), ("a", "1")]
    dev = tsv(tmp_path / "b.tsv", LINES[:1])
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", pairs), dev=dev, duplicates="drop"))
    assert texts(prepared.train, prepared) == [("b", "1"), ("a", "1"), ("b", "2")]


def test_report_of_clean_data(tmp_path: Path) -> None:
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", LINES), dev=tsv(tmp_path / "b.tsv", [("a1 b2 c", "x3 y3")] * 3)))
    assert prepared.counts.report() == [
        "200 pairs read; none left out",
        "200 pairs to train on, 3 for development",
        f"source vocabulary of {4 + 200 + 7 + 1} pieces (8,000 asked for; the text has no more)",
        f"target vocabulary of {4 + 200 + 5} pieces (8,000 asked for; the text has no more)",
    ]


def test_development_pairs_that_are_trained_on_too_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.data.preparation, "COMPARED", 64)
    train, new = tsv(tmp_path / "a.tsv", LINES), ("a1 b2 c", "x3 y3")
    also = [{"train": tsv(tmp_path / "also.tsv", [*LINES[:9], new])}]
    for pairs, more, trained in ((LINES, {}, 200), ([LINES[150], new, LINES[150]], {}, 2), ([new], {"also": also}, 1)):
        counts = prepare(recipe(train, dev=tsv(tmp_path / "dev.tsv", pairs), **more)).counts
        assert counts.report()[2] == (
            f"warning: {trained} of {len(pairs)} pairs for development are trained on too: "
            "how they score says nothing of pairs that are new"
        )


def test_lines_that_do_not_come_back_are_shown(tmp_path: Path) -> None:
    odd = [("a \u2581 b", "x"), ("a \u2581 b", "z"), ("\u2581", "y")]
    characters = {"source": {"kind": "character"}, "target": {"kind": "character"}}
    counts = prepare(recipe(tsv(tmp_path / "a.tsv", [*LINES, *odd]), characters)).counts
    assert counts.round_trip_failures == 3
    assert counts.report()[-1] == (
        "3 lines do not come back unchanged from their pieces: "
        "'a \u2581 b' comes back as 'a   b', '\u2581' comes back as ' '"
    )


def test_long_lines_are_shown_around_what_changes() -> None:
    begun, gone_on = "x" * 500, "y" * 500
    assert changed(f"{begun}\u2581{gone_on}", f"{begun} {gone_on}") == (
        f"'…{'x' * 40}\u2581{'y' * 39}…' comes back as '…{'x' * 40} {'y' * 39}…'"
    )
    assert changed(f"\u2581{gone_on}", gone_on) == f"'\u2581{'y' * 79}…' comes back as '{'y' * 80}…'"
    assert changed(f"{begun}\u2581", begun) == f"'…{'x' * 79}\u2581' comes back as '…{'x' * 79}'"


def test_a_line_that_normalisation_empties_is_counted(tmp_path: Path) -> None:
    vocabulary = {"normalization": "nfkc", "source": WORDS, "target": WORDS}
    pairs = [*LINES, ("\u200b", "x"), ("x", "\u200b")]
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", pairs), vocabulary, dev=tsv(tmp_path / "b.tsv", LINES[:3])))
    assert prepared.train.source_lengths.min() > 0 and prepared.train.target_lengths.min() > 0
    assert prepared.counts.kept + prepared.counts.empty_source + prepared.counts.empty_target == 202


# the split


SOURCES = st.lists(st.text("abc ", min_size=1, max_size=4).filter(str.strip), min_size=2, max_size=60)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SOURCES, SOURCES)
def test_the_split_is_by_source_and_stays_when_the_file_grows(
    tmp_path: Path, first: list[str], more: list[str]
) -> None:
    for sources in (first, first + more):
        pairs = [(source, f"{n} x") for n, source in enumerate(sources)]
        if len(set(sources)) < 2:
            return
        prepared = prepare(recipe(tsv(tmp_path / "a.tsv", pairs), dev_fraction=0.5))
        held_out = {source for source in sources if hash64(source) < 2**63}
        if held_out in (set(), set(sources)):
            held_out = {min(sources, key=hash64)}
        assert dev_texts(prepared) == [pair for pair in pairs if pair[0] in held_out]
        train = [target for _, target in texts(prepared.train, prepared)]
        assert train == [target for source, target in pairs if source not in held_out]


@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_tiny_file_is_split_too(tmp_path: Path, count: int) -> None:
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", LINES[:count]), dev_fraction=1e-9))
    assert (len(prepared.train), len(prepared.dev)) == (count - 1, 1)


def refused(settings: Recipe) -> str:
    with pytest.raises(WeftError) as error:
        prepare(settings)
    return str(error.value)


def test_nothing_to_train_on_or_to_hold_out_is_refused(tmp_path: Path, cache: Path) -> None:
    empty = tsv(tmp_path / "a.tsv", [("", "x"), ("y", "")])
    reasons = "2 pairs read; 2 left out: 1 with an empty source, 1 with an empty target"
    assert refused(recipe(empty)) == f"data.train: no usable pair: {reasons}"
    (tmp_path / "b.tsv").touch()
    assert refused(recipe(str(tmp_path / "b.tsv"))) == "data.train: no usable pair: 0 pairs read; none left out"
    one = tsv(tmp_path / "c.tsv", [("a", "x"), ("", "y")])
    assert refused(recipe(one)).startswith("data.train: only one usable pair, so nothing is left to hold out: 2 pairs")
    same = tsv(tmp_path / "d.tsv", [("a", "x"), ("a", "y")])
    assert "only usable pairs of one and the same source" in refused(recipe(same))
    long = tsv(tmp_path / "e.tsv", [("a " * 9, "x"), ("b " * 9, "y")])
    dev = tsv(tmp_path / "dev.tsv", LINES[:2])
    assert "no pair is left to train on: 2 pairs read; 2 left out: 2 longer" in refused(
        recipe(long, dev=dev, max_length=8)
    )
    assert refused(recipe(dev, dev=empty)).startswith(f"data.dev ({empty}): no pair is left for development: ")
    assert [path for path in cache.iterdir()] == []


# the cache


def test_the_same_content_is_prepared_once(tmp_path: Path, cache: Path) -> None:
    path = tsv(tmp_path / "a.tsv", LINES)
    assert made_anew(recipe(path))
    assert not made_anew(recipe(path))
    assert not made_anew(recipe(tsv(tmp_path / "copy.tsv", LINES)))
    assert not made_anew(recipe(path, test="unread.tsv"))
    first, second = prepare(recipe(path)), prepare(recipe(path))
    assert texts(first.train, first) == texts(second.train, second)
    assert first.counts == second.counts
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda path: recipe(tsv(Path(path), [*LINES, ("a", "x")])),
        lambda path: recipe(path, max_length=100),
        lambda path: recipe(path, duplicates="drop"),
        lambda path: recipe(path, dev_fraction=0.2),
        lambda path: recipe(path, columns={"source": 2, "target": 1}),
        lambda path: recipe(path, dev=path),
        lambda path: recipe(path, {"source": WORDS, "target": {"kind": "character"}}),
        lambda path: recipe([path, path]),
        lambda path: recipe({"source": path, "target": path}),
    ],
)
def test_what_matters_changes_the_key(tmp_path: Path, change: Callable[[str], Recipe]) -> None:
    path = tsv(tmp_path / "a.tsv", LINES)
    prepare(recipe(path))
    assert made_anew(change(path))


def test_tags_are_counted_where_the_same_pairs_were_prepared_without(tmp_path: Path) -> None:
    path = tsv(tmp_path / "a.tsv", [*LINES, ("a b", "x")])
    plain = recipe(path)
    prepare(plain)
    settings = {**plain.model_dump(), "model": {"decoder": {"kind": "tags"}}}
    assert "pair 1: 2 tags for 3 words" in refused(weft.recipe.checked(settings, "test"))


def test_the_hash_of_a_large_file_is_remembered_until_it_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counting(file: Any, kind: str) -> Any:
        read.append(file.name)
        return hashlib.file_digest(file, kind)

    monkeypatch.setattr(weft.data.cache, "file_digest", counting)
    monkeypatch.setattr(weft.data.cache, "LARGE", 100)
    path = Path(tsv(tmp_path / "a.tsv", LINES))
    first = digest(path)
    assert digest(path) == first and len(read) == 2  # it has only just been written
    monkeypatch.setattr(weft.data.cache, "SETTLED", -1.0)
    assert digest(path) == first and len(read) == 3
    assert digest(path) == first and len(read) == 3
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=times)
    assert digest(path) == hashlib.blake2b(path.read_bytes()).hexdigest() != first
    small = tmp_path / "small"
    small.write_text("x")
    assert digest(small) == digest(small) and read[-2:] == [str(small)] * 2


def test_place_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("WEFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/weft")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "weft"


@pytest.mark.parametrize("file", ["train/examples.arrow", "train/target.lengths", "source.model", "counts.json"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, cache: Path, file: str) -> None:
    settings = recipe(tsv(tmp_path / "a.tsv", LINES))
    prepare(settings)
    (damaged,) = cache.glob(f"*/{file}")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    lines = said(settings)
    assert file in lines[0] and "made anew" in lines[0]
    assert len(prepare(settings).train) > 100


def test_missing_and_damaged_corpora_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match=r"examples\.arrow: no such corpus"):
        Store.open(tmp_path)
    (tmp_path / "examples.arrow").write_bytes(b"ARROW1")
    with pytest.raises(WeftError, match=r"examples\.arrow: damaged"):
        Store.open(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe(tsv(tmp_path / "a.tsv", LINES))
    with monkeypatch.context() as full:
        full.setattr(weft.data.store, "EXAMPLES", "/dev/full")
        message = refused(settings)
    assert message.startswith(f"{cache}: the disk is full")
    assert list(cache.iterdir()) == []
    assert len(prepare(settings).train) > 100


def test_a_cache_that_can_only_be_read_is_enough_for_what_is_there(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = recipe(tsv(tmp_path / "a.tsv", LINES))
    prepare(settings)
    (cache / "hashes").touch()  # so that no hash can be remembered
    monkeypatch.setattr(weft.data.cache, "LARGE", 100)
    monkeypatch.setattr(weft.data.cache, "SETTLED", -1.0)
    assert not made_anew(settings)


def test_a_file_that_changes_while_it_is_read_is_not_kept_as_what_it_was(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tsv(tmp_path / "a.tsv", LINES)
    settings = recipe(path)

    def changing(line: str) -> None:
        if line == "learning the vocabulary":
            tsv(tmp_path / "a.tsv", [(target, source) for source, target in LINES])

    with pytest.raises(WeftError, match="changed while it was read"):
        prepare(settings, report=changing)
    assert list(cache.iterdir()) == []
    assert made_anew(settings)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "file" / "cache"))
    assert refused(recipe(tsv(tmp_path / "a.tsv", LINES))).startswith(f"{tmp_path / 'file' / 'cache'}: cannot be")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    tsv(tmp_path / "train.tsv", LINES)
    assert "trian.tsv: no such file; did you mean 'train.tsv'?" in refused(recipe(str(tmp_path / "trian.tsv")))


KILLED = """
import sys
import weft.data.corpus, weft.data.preparation, weft.recipe
weft.data.preparation.BLOCK = 50
weft.data.preparation.EVERY = 0

def stop(line):
    print(line, flush=True)
    if line.startswith(sys.argv[2]):
        sys.stdin.read()

settings = {"data": {"train": sys.argv[1]}, "vocabulary": {"source": {"kind": "word"}, "target": {"kind": "word"}}}
weft.data.corpus.prepare(weft.recipe.checked(settings, "test"), report=stop)
"""


@pytest.mark.parametrize("moment", ["learning", "encoded 100"])
def test_killed_at_any_moment_leaves_nothing_broken(tmp_path: Path, cache: Path, moment: str) -> None:
    path = tsv(tmp_path / "a.tsv", LINES)
    command = [sys.executable, "-c", KILLED, path, moment]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert any(line.startswith(moment) for line in iter(child.stdout.readline, ""))
        child.send_signal(signal.SIGKILL)
    (abandoned,) = cache.iterdir()
    assert abandoned.name.endswith(".part")
    settings = recipe(path)
    assert made_anew(settings)
    prepared = prepare(settings)
    assert len(prepared.train) + len(prepared.dev) == len(LINES)
    assert abandoned.is_dir()  # it might be another machine's that is still at work
    for place in (abandoned, *abandoned.rglob("*")):
        os.utime(place, (time.time() - 2 * 24 * 3600,) * 2)
    prepare(settings)
    assert not abandoned.exists()


# what can be read only once


def stdin(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))


def test_standard_input_is_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = Path(tsv(tmp_path / "a.tsv", LINES)).read_text("utf-8")
    stdin(monkeypatch, content)
    prepared = prepare(recipe("-"))
    assert len(prepared.train) + len(prepared.dev) == len(LINES)
    stdin(monkeypatch, content)
    copy, _ = spool(recipe("-"))
    assert not made_anew(copy)
    stdin(monkeypatch, "".join(json.dumps({"source": s, "target": t}) + "\n" for s, t in LINES))
    assert dev_texts(prepare(recipe("-"))) == dev_texts(prepared)
    stdin(monkeypatch, '["a", "b"]\n["c", "d"]\n["e", "f"]\n')
    talks = recipe("-", columns={"turns": 1}, dev_fraction=0.5)
    assert {target for _, target in dev_texts(prepare(talks))} < {"b", "d", "f"}
    assert "can be read only once; it stands in 2 places" in refused(recipe("-", dev="-"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\nc\n", ":2: 1 column found, 2 expected: no tab in 'c'"),
        ('{"source": "a"}\n', ":1: no key 2 with a string: 1 such key found"),
    ],
)
def test_what_is_wrong_in_standard_input_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    stdin(monkeypatch, content)
    assert refused(recipe("-")) == f"standard input{message}"
    stdin(monkeypatch, content)
    assert (
        refused(recipe(tsv(tmp_path / "a.tsv", LINES), also=[{"train": "-"}]))
        == f"data.also.0.train: standard input{message}"
    )
    stdin(monkeypatch, content)
    with pytest.raises(WeftError) as caught:
        list(read_pairs("-", Columns()))
    assert str(caught.value) == f"standard input{message}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_kept_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    other = tmp_path / "b"
    other.write_text("".join(f"{target}\n" for _, target in LINES))
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("".join(f"{s}\n" for s, _ in LINES),))
    writer.start()
    prepared = prepare(recipe({"source": str(tmp_path / "pipe"), "target": str(other)}))
    writer.join()
    assert len(prepared.train) + len(prepared.dev) == len(LINES)


def test_vocabularies_lie_beside_the_data(tmp_path: Path, cache: Path) -> None:
    prepared = prepare(recipe(tsv(tmp_path / "a.tsv", LINES)))
    (model,) = cache.glob("*/target.model")
    assert Vocabulary.load(model).model_bytes == prepared.target.model_bytes
