"""Conversations become pairs of what came before and the answer, and a separator is one piece everywhere."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import weft.recipe
from weft.cli.evaluate import chosen_columns
from weft.cli.evaluate import parser as evaluate_parser
from weft.data.corpus import prepare
from weft.data.read import read_pairs
from weft.data.turns import TURN
from weft.errors import WeftError
from weft.recipe import Columns

SAID = ["hello", "hi, how are you", "fine", "good"]
PIECE = f"\u2581{TURN}"


def jsonl(path: Path, *items: object) -> str:
    path.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    return str(path)


def pairs(file: str, turns: int = 2, **columns: Any) -> list[tuple[str, str]]:
    return list(read_pairs(file, Columns(turns=turns, **columns)))


def spoken(*texts: str, key: str = "content") -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], key: text} for n, text in enumerate(texts)]


def test_each_answer_comes_with_the_turns_before_it(tmp_path: Path) -> None:
    expected = [
        ("hello", "hi, how are you"),
        ("hello <turn> hi, how are you", "fine"),
        ("hi, how are you <turn> fine", "good"),
        ("a", "b"),
    ]
    assert pairs(jsonl(tmp_path / "a.jsonl", {"id": 7, "turns": SAID}, {"id": 8, "turns": ["a", "b"]})) == expected
    assert pairs(jsonl(tmp_path / "b.jsonl", SAID, ["a", "b"])) == expected
    assert pairs(jsonl(tmp_path / "c.jsonl", {"messages": spoken(*SAID)}, spoken("a", "b", key="text"))) == expected
    assert pairs(str(tmp_path / "a.jsonl"), turns=1)[1:3] == [("hi, how are you", "fine"), ("fine", "good")]


def test_answers_may_be_those_of_one_role(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"role": "system", "content": "be kind"}, *spoken(*SAID)])
    found = pairs(file, turns=9, answers="assistant")
    assert found == [
        ("be kind <turn> hello", "hi, how are you"),
        ("be kind <turn> hello <turn> hi, how are you <turn> fine", "good"),
    ]


def test_the_key_is_the_first_list_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"title": "x", "tags": ["t", "u"], "said": ["a", "b"]})
    assert pairs(file) == [("t", "u")]
    assert pairs(file, source=2) == pairs(file, source="said") == [("a", "b")]


def test_a_conversation_without_an_answer_is_a_pair_without_a_target(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", ["alone"], [], spoken("asked", "answered"))
    assert pairs(file) == [("alone", ""), ("", ""), ("asked", "answered")]
    assert pairs(jsonl(tmp_path / "b.jsonl", spoken("a", "b", "c")), answers="bot") == [("b <turn> c", "")]


def test_standard_input_holds_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'["a", "b"]\n')))
    assert pairs("-") == [("a", "b")]


@pytest.mark.parametrize(
    ("line", "columns", "message"),
    [
        ('["a"', {}, "a.jsonl:2: not JSON: "),
        ('"a"', {}, "a.jsonl:2: 'a' is no conversation"),
        ('{"text": "a"}', {}, "a.jsonl:2: no key 1 with a list of turns: 0 such keys found"),
        ('{"turns": ["a"]}', {"source": 2}, "a.jsonl:2: no key 2 with a list of turns: 1 such key found"),
        ('{"turns": ["a"]}', {"source": "turn"}, "a.jsonl:2: no key 'turn'; the keys are turns; did you mean 'turns'?"),
        ('{"turn": "a"}', {"source": "turn"}, "a.jsonl:2: 'turn' is 'a'; expected a list of turns"),
        ('["a", 5]', {}, "a.jsonl:2: turn 2: 'text' is 5; expected a string"),
        ('["a", "b\\nc"]', {}, "a.jsonl:2: turn 2: 'text' holds a line break: 'b\\nc'"),
        ('["a", {"role": "user"}]', {}, "a.jsonl:2: turn 2: {'role': 'user'} has no 'text' and no 'content'"),
        ('["a", "b <turn> c"]', {}, "a.jsonl:2: turn 2: 'text' holds <turn>, which stands between turns"),
        ('["a"]', {"answers": "bot"}, "a.jsonl:2: turn 1: 'a' has no 'role', but data.columns.answers is 'bot'"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_line(
    tmp_path: Path, line: str, columns: dict[str, Any], message: str
) -> None:
    file = tmp_path / "a.jsonl"
    first = {"turn": [{"role": "bot", "text": "x"}], "other": [{"role": "bot", "text": "y"}]}
    file.write_text(f"{json.dumps(first)}\n{line}\n")
    with pytest.raises(WeftError) as error:
        pairs(str(file), **columns)
    assert message in str(error.value)


def test_conversations_are_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a\tb\n")
    with pytest.raises(WeftError, match=r"a.tsv: data.columns.turns is 2, but conversations are read from .jsonl"):
        pairs(str(tmp_path / "a.tsv"))
    with pytest.raises(WeftError, match=r"0 such keys found; conversations are read with data.columns.turns=3"):
        list(read_pairs(jsonl(tmp_path / "a.jsonl", {"turns": SAID}), Columns()))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"columns": {"answers": "bot"}}, "data.columns.answers is 'bot', which needs data.columns.turns"),
        ({"columns": {"turns": 2, "target": 3}}, "`target` has no part"),
        ({"columns": {"turns": 2, "source": ["a", "b"]}}, "takes both sides from one list"),
        ({"columns": {"turns": 2}, "direction": "backward"}, "data.direction is 'backward'"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(WeftError) as error:
        weft.recipe.checked({"data": {"train": "a.jsonl", **data}}, "test")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "vocabulary",
    [
        {"shared": True, "source": {"kind": "bpe", "size": 320}},
        {side: {"kind": "unigram", "size": 320} for side in ("source", "target")},
        {side: {"kind": "character", "size": 60} for side in ("source", "target")},
        {side: {"kind": "word", "size": 60} for side in ("source", "target")},
    ],
    ids=["shared bpe", "unigram", "character", "word"],
)
def test_the_separator_is_one_piece_in_data_and_in_lines_to_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabulary: dict[str, Any]
) -> None:
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    file = jsonl(tmp_path / "a.jsonl", *([f"hello {n}", f"hi {n}", f"how are you {n}", "fine"] for n in range(40)))
    recipe = weft.recipe.checked({"data": {"train": file, "columns": {"turns": 3}}, "vocabulary": vocabulary}, "test")
    prepared = prepare(recipe)
    for row, (source, _) in enumerate(read_pairs(file, recipe.data.columns)):
        pieces = prepared.source.pieces(prepared.source.encode(source))
        assert pieces.count(PIECE) == source.count(TURN) == row % 3
        assert prepared.source.decode(prepared.source.encode(source)) == source
    stored = {tuple(prepared.train.source(row).tolist()) for row in range(len(prepared.train))}
    assert len(stored & {tuple(prepared.source.encode(f"hello {n} <turn> hi {n}")) for n in range(40)}) > 30


def test_evaluation_reads_conversations_as_training_does() -> None:
    options = evaluate_parser().parse_args(["run", "a.jsonl", "--columns-source", "said"])
    columns = Columns(turns=3, answers="bot")
    assert chosen_columns(options, columns) == Columns(source="said", turns=3, answers="bot")
    options.columns_target = "3"
    with pytest.raises(WeftError, match="--columns-target has no part in conversations"):
        chosen_columns(options, columns)
