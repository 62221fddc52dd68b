"""Lines and pairs come out of every format as they went in, and every bad input says what and where."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.data import lines
from weft.data.first_line import first_lines
from weft.data.lines import read_lines
from weft.data.read import data_files, read_pairs
from weft.errors import WeftError
from weft.recipe import Columns, Files, Parallel

PAIRS = [("one two", "eins zwei"), ("naïve\u2028line", "\x85x\x0by\x1c"), (' "quoted" ', "a,b ")]
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pyarrow.Codec("zstd").compress(data, asbytes=True),
}


def pairs(files: Files | Path, **columns: str | int) -> list[tuple[str, str]]:
    return list(read_pairs(str(files) if isinstance(files, Path) else files, Columns.model_validate(columns)))


def parallel(source: Path, target: Path) -> Parallel:
    return Parallel(source=str(source), target=str(target))


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Files | Path, **columns: str | int) -> str:
    with pytest.raises(WeftError) as error:
        pairs(path, **columns)
    return str(error.value)


def stdin(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))


# lines


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers(1, 7))
def test_lines_end_at_newline_and_nowhere_else(text: str, chunk: int) -> None:
    *ended, last = text.removeprefix("\ufeff").split("\n")
    expected = [line.removesuffix("\r") for line in ended] + ([last] if last else [])
    with tempfile.NamedTemporaryFile() as file, patch.object(lines, "CHUNK", chunk):
        Path(file.name).write_bytes(text.encode())
        assert list(read_lines(file.name)) == expected


@given(st.binary(max_size=40), st.integers(1, 7))
def test_any_bytes_are_read_or_refused_at_the_line_of_the_first_bad_byte(data: bytes, chunk: int) -> None:
    with tempfile.NamedTemporaryFile() as file, patch.object(lines, "CHUNK", chunk):
        Path(file.name).write_bytes(data)
        try:
            list(read_lines(file.name))
        except WeftError as error:
            message = str(error)
            if "not UTF-8" in message:
                with pytest.raises(UnicodeDecodeError) as reference:
                    data.decode()
                bad = reference.value.start
                line = data.count(b"\n", 0, bad) + 1
                assert f":{line}: not UTF-8: byte 0x{data[bad]:02x} at offset {bad} " in message
            else:
                assert "UTF-16" in message or "binary" in message
        else:
            data.decode()


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed_lines(tmp_path: Path, suffix: str) -> None:
    pack = COMPRESSORS[suffix]
    path = put(tmp_path / f"a.txt{suffix}", pack(b"one\r\ntwo\n") + pack("drei ü".encode()))
    assert list(read_lines(str(path))) == ["one", "two", "drei ü"]


def test_a_carriage_return_elsewhere_stays(tmp_path: Path) -> None:
    assert list(read_lines(str(put(tmp_path / "a", "a\rb\r\r\nc\r")))) == ["a\rb\r", "c\r"]


def test_empty_files_have_no_lines(tmp_path: Path) -> None:
    assert list(read_lines(str(put(tmp_path / "a", "")))) == []
    assert list(read_lines(str(put(tmp_path / "b", "\ufeff")))) == []
    assert list(read_lines(str(put(tmp_path / "c", "\n\n")))) == ["", ""]


def test_bad_byte_is_named_with_line_and_offset_beyond_the_first_chunk(tmp_path: Path) -> None:
    good = "ok ü\n".encode() * 300_000
    message = refused(put(tmp_path / "a.tsv", b"\xef\xbb\xbf" + good.replace(b" ", b"\t") + b"Stra\xdfe\tb\n"))
    assert f"a.tsv:300001: not UTF-8: byte 0xdf at offset {3 + len(good) + 4} " in message
    assert "Windows-1252" in message


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["hello\n", "中文字\n"])
def test_utf16_is_named(tmp_path: Path, encoding: str, text: str) -> None:
    assert "is UTF-16; expected UTF-8" in refused(put(tmp_path / "a.tsv", ("\ufeff" + text).encode(encoding)))


def test_binary_file_is_named(tmp_path: Path) -> None:
    message = refused(put(tmp_path / "a.tsv", b"a\tb\nPK\0\xff"))
    assert "a.tsv:2: looks like a binary file: zero byte at offset 6" in message


def test_missing_file_has_the_nearest_name(tmp_path: Path) -> None:
    put(tmp_path / "train.tsv", "a\tb\n")
    assert refused(tmp_path / "trian.tsv").endswith("trian.tsv: no such file; did you mean 'train.tsv'?")
    assert "there is no folder" in refused(tmp_path / "nowhere" / "train.tsv")


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder; expected a file" in refused(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs /proc")
def test_unreadable_file_is_named() -> None:
    assert refused("/proc/self/mem").startswith("/proc/self/mem: cannot be read: ")


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_cut_off_or_wrong_compression_is_named(tmp_path: Path, suffix: str) -> None:
    whole = COMPRESSORS[suffix](bytes(range(1, 250)).replace(b"\n", b"") * 50)
    assert "damaged or cut off" in refused(put(tmp_path / f"a.tsv{suffix}", whole[:-12]))
    assert "damaged or cut off" in refused(put(tmp_path / f"b.tsv{suffix}", b"a\tb\n" * 9))


# parallel text


def test_parallel_files_line_by_line(tmp_path: Path) -> None:
    source = put(tmp_path / "a.en", "".join(f"{one}\n" for one, _ in PAIRS))
    target = put(tmp_path / "a.de.gz", gzip.compress("".join(f"{two}\r\n" for _, two in PAIRS).encode()))
    assert pairs(parallel(source, target)) == PAIRS


@pytest.mark.parametrize("swap", [False, True])
def test_unequal_files_are_refused_with_the_line(tmp_path: Path, swap: bool) -> None:
    files = put(tmp_path / "short", "a\nb\n"), put(tmp_path / "long", "a\nb\nc\nd\n")
    message = refused(parallel(*(reversed(files) if swap else files)))
    assert message == f"{files[0]} has 2 lines, {files[1]} has 4 lines: line 3 of {files[1]} has no counterpart"


def test_lists_of_parallel_files_go_one_by_one(tmp_path: Path) -> None:
    a, b, c, d = (str(put(tmp_path / name, f"{name}\n")) for name in "abcd")
    assert pairs(Parallel(source=[a, b], target=[c, d])) == [("a", "c"), ("b", "d")]
    assert "2 source files but 1 target file" in refused(Parallel(source=[a, b], target=c))


# globs and standard input


def test_globs_are_sorted_and_must_match(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        put(tmp_path / f"{name}.tsv", f"{name}\tx\n")
    assert [source for source, _ in pairs(str(tmp_path / "*.tsv"))] == ["a", "b", "c"]
    assert data_files([str(tmp_path / "[bc].tsv"), "-"]) == [tmp_path / "b.tsv", tmp_path / "c.tsv"]
    assert "*.csv: no file matches" in refused(str(tmp_path / "*.csv"))
    assert refused([]) == "the list of data files is empty"


def test_a_name_with_brackets_that_exists_is_no_glob(tmp_path: Path) -> None:
    assert pairs(put(tmp_path / "a[1].tsv", "x\ty\n")) == [("x", "y")]


def test_standard_input_is_tsv_or_jsonl(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "a\tb\n")
    assert pairs("-") == [("a", "b")]
    stdin(monkeypatch, '{"source": "a", "target": "b"}\n')
    assert pairs("-") == [("a", "b")]
    stdin(monkeypatch, "a\nb\n")
    assert list(read_lines("-")) == ["a", "b"]


# TSV and CSV


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_tsv(tmp_path: Path, suffix: str) -> None:
    content = "".join(f"{source}\t{target}\tmore\n" for source, target in PAIRS).encode()
    assert pairs(put(tmp_path / f"a.tsv{suffix}", COMPRESSORS[suffix](content))) == PAIRS


def test_columns_by_number_and_name(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tsv", "x\ty\tz\n1\t2\t3\n")
    assert pairs(path, source=3, target=1) == [("z", "x"), ("3", "1")]
    assert pairs(path, source="z", target="x") == [("3", "1")]
    assert pairs(path, source="y", target=1) == [("2", "1")]
    message = "a.tsv:1: no column 'zz'; the columns are 'x', 'y', 'z'; did you mean 'z'?"
    assert refused(path, source="zz", target="x").endswith(message)
    assert "columns are numbered from 1" in refused(path, source=0)


def test_known_headers_are_skipped_in_each_file(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / f"{name}.tsv", f"Source\tTARGET\n{name}\tx\n")
    assert pairs(str(tmp_path / "*.tsv")) == [("a", "x"), ("b", "x")]
    assert pairs(put(tmp_path / "c.csv", "src,trg\n1,2\n")) == [("1", "2")]
    assert pairs(put(tmp_path / "d.tsv", "target\tsource\n1\t2\n")) == [("target", "source"), ("1", "2")]


TEXT = [("the cat sat here", "die Katze sass hier"), ("a dog came by", "ein Hund kam vorbei")]


@pytest.mark.parametrize(
    ("first", "following", "header"),
    [
        (("en", "de"), TEXT, True),
        (("pt-BR", "zh_CN"), TEXT, True),
        (("English", "German"), TEXT, True),
        (("en", "en"), TEXT, False),
        (("en", "text"), TEXT, False),
        (("to", "zu"), [("the", "der"), ("house", "Haus")], False),  # a word list
        (("no", "da"), [("go", "va"), *TEXT, ("is", "es")], False),  # another row like it
        (("Text", "Label"), [("good", "1")], True),
        (("sent1", "sent2"), TEXT, False),
        (("en", "de"), [], False),
    ],
)
def test_a_first_row_that_names_languages_over_text_is_a_header(
    tmp_path: Path, first: tuple[str, str], following: list[tuple[str, str]], header: bool
) -> None:
    path = put(tmp_path / "a.tsv", "".join(f"{one}\t{other}\n" for one, other in [first, *following]))
    assert pairs(path) == (following if header else [first, *following])
    assert pairs(path, header=True) == following
    assert pairs(path, header=False) == [first, *following]
    what, value = ("a header", "false") if header else ("a pair", "true")
    (told,) = first_lines([str(path)], Columns())
    assert told.startswith(f"{path}: the first line is taken for {what}, '{first[0]}' and '{first[1]}'  (if it ")
    assert told.endswith(f"data.columns.header={value})")


def test_what_first_lines_are_taken_for_is_told_where_nobody_has_said_it(tmp_path: Path) -> None:
    for name in "abc":
        put(tmp_path / f"{name}.csv", f"{name},x\n")
    put(tmp_path / "d.csv", "src,tgt\na,b\n")
    put(tmp_path / "e.jsonl", '{"source": "a", "target": "b"}\n')
    files = [str(tmp_path / "*.csv"), str(tmp_path / "e.jsonl")]
    header, others = first_lines([files], Columns())
    assert header.startswith(f"{tmp_path}/d.csv: the first line is taken for a header, 'src' and 'tgt'  (")
    assert others.startswith(f"{tmp_path}/a.csv: the first line is taken for a pair, 'a' and 'x', and that of 2 more")
    assert (
        first_lines([files], Columns(header=False)) == first_lines([files], Columns(source="src", target="tgt")) == []
    )


def test_which_keys_and_columns_are_taken_is_told_where_there_are_others(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", '{"id": "7", "question": "a", "answer": "b"}\n')
    put(tmp_path / "b.jsonl", '{"id": "7", "target": "b", "source": "a"}\n')
    put(tmp_path / "c.jsonl", '{"n": 7, "en": "b", "de": "a"}\n')
    put(tmp_path / "d.jsonl", "not JSON\n")
    parquet(tmp_path / "e.parquet", id=["7"], en=["a"], de=["b"])
    files = [str(tmp_path / "*.jsonl"), str(tmp_path / "*.parquet")]
    assert first_lines([files], Columns(), "recipe.yaml") == [
        f"{tmp_path}/{name}: the sides are 'id' and {target}  "
        f"(others: data.columns.source and data.columns.target in recipe.yaml)"
        for name, target in (("a.jsonl", "'question'"), ("e.parquet", "'en'"))
    ]
    assert first_lines([files], Columns(source="question", target="answer")) == []


def test_short_rows_are_refused_and_empty_rows_are_empty_pairs(tmp_path: Path) -> None:
    assert refused(put(tmp_path / "a.tsv", "a\tb\nc\n")).endswith("a.tsv:2: 1 column found, 2 expected: no tab in 'c'")
    assert refused(put(tmp_path / "a.csv", "a,b,c\nc\n"), target=3).endswith(
        "a.csv:2: 1 column found, 3 expected: no comma in 'c'"
    )
    assert refused(put(tmp_path / "b.csv", "a;b\n")).endswith("b.csv:1: 1 column found, 2 expected: no comma in 'a;b'")
    assert pairs(put(tmp_path / "b.tsv", "a\tb\n\nc\td\n")) == [("a", "b"), ("", ""), ("c", "d")]
    assert pairs(put(tmp_path / "b.csv", "a,b\n\n")) == [("a", "b"), ("", "")]


def test_rows_with_more_cells_than_the_first_are_refused(tmp_path: Path) -> None:
    assert refused(put(tmp_path / "a.tsv", "a\tb\nc\tx\td\n")).endswith(
        "a.tsv:2: 3 columns found, 2 in the first line: a tab within a cell?"
    )
    assert refused(put(tmp_path / "a.csv", "source,target\nhello, world,bonjour\n")).endswith(
        "a.csv:2: 3 columns found, 2 in the first line: a comma within a cell?"
    )
    assert pairs(put(tmp_path / "b.tsv", "a\tb\nc\td\t\t\n")) == [("a", "b"), ("c", "d")]
    assert pairs(put(tmp_path / "c.tsv", "a\tb\tnote\nc\td\n")) == [("a", "b"), ("c", "d")]


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    assert pairs(put(tmp_path / "A.CSV", "a,b\n")) == [("a", "b")]
    assert pairs(put(tmp_path / "B.Csv.GZ", gzip.compress(b"a,b\n"))) == [("a", "b")]


def test_unknown_suffix_is_tsv_where_its_first_line_has_a_tab(tmp_path: Path) -> None:
    assert pairs(put(tmp_path / "a.txt", "a\tb\n")) == [("a", "b")]
    assert pairs(put(tmp_path / "b", "a\tb\n")) == [("a", "b")]
    assert pairs(put(tmp_path / "c.txt", "")) == []
    assert "supported are parallel text, .tsv" in refused(put(tmp_path / "d.txt", "a b\n"))


def test_csv_quotes(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", 'a,"b, ""c"""\r\n\u2028,"x\u2028y"\n')
    assert pairs(path) == [("a", 'b, "c"'), ("\u2028", "x\u2028y")]


def test_csv_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    other = 'a,b,"two\nlines"\n'
    assert pairs(put(tmp_path / "a.csv", other + "c,d,e\n")) == [("a", "b"), ("c", "d")]
    assert "b.csv:3: a quoted cell holds a line break" in refused(put(tmp_path / "b.csv", other + 'c,"d\ne",f\n'))
    assert "c.csv:3: not CSV: " in refused(put(tmp_path / "c.csv", other + 'c,"d\ne\n'))
    assert "d.csv:3: not CSV: " in refused(put(tmp_path / "d.csv", other + '"c"d,e\n'))


# JSONL


def jsonl(path: Path, *items: object) -> Path:
    return put(path, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))


def test_jsonl(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", *({"n": 1, "target": t, "x": "y", "source": s} for s, t in PAIRS))
    assert pairs(path) == PAIRS
    assert pairs(path, source="x", target="source") == [("y", source) for source, _ in PAIRS]
    assert pairs(path, source=2, target=1) == [(target, source) for source, target in PAIRS]
    assert pairs(jsonl(tmp_path / "b.jsonl", {"n": 1, "en": "a", "de": "b\tc"})) == [("a", "b\tc")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"source": "a"', "a.jsonl:2: not JSON: "),
        ("[1]", "a.jsonl:2: [1] is no JSON object"),
        ("[" * 100_000, "a.jsonl:2: "),
        (f'{{"n": {"1" * 5000}, "source": "a", "target": "b"}}', "a.jsonl:2: not read as JSON: Exceeds the limit"),
        ('{"sorce": "a", "target": "b"}', "no key 'source'; the keys are sorce, target; did you mean 'sorce'?"),
        ('{"source": 5, "target": "b"}', "a.jsonl:2: 'source' is 5; expected a string"),
        ('{"source": null, "target": "b"}', "a.jsonl:2: 'source' is None; expected a string"),
        ('{"source": "a\\nb", "target": "b"}', "a.jsonl:2: 'source' holds a line break: 'a\\nb'"),
        ('{"source": "a\\u0000", "target": "b"}', "a.jsonl:2: 'source' holds a zero character"),
        ('{"source": "a", "target": "\\ud800"}', "a.jsonl:2: 'target' holds half a character, U+D800"),
    ],
)
def test_bad_jsonl_is_refused_with_the_line(tmp_path: Path, line: str, message: str) -> None:
    assert message in refused(put(tmp_path / "a.jsonl", f'{{"source": "a", "target": "b"}}\n{line}\n'))


def test_jsonl_without_two_strings(tmp_path: Path) -> None:
    assert "a.jsonl:1: no key 2 with a string: 1 such key found" in refused(jsonl(tmp_path / "a.jsonl", {"en": "a"}))


# Parquet


def parquet(path: Path, **columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet(tmp_path: Path) -> None:
    source, target = ([pair[side] for pair in PAIRS] for side in (0, 1))
    path = parquet(tmp_path / "a.parquet", n=[1, 2, 3], source=source, target=target)
    assert pairs(path, source=2, target=3) == PAIRS
    assert pairs(path, source="target", target="source") == [(target, source) for source, target in PAIRS]
    assert pairs(path, source="source", target="source") == [(source, source) for source, _ in PAIRS]
    assert "no column 'sorce'; the columns are 'n', 'source', 'target'; did" in refused(path, source="sorce")
    assert "3 columns found, 4 expected" in refused(path, source=2, target=4)
    assert "a.parquet: row 1: 'n' is 1; expected a string" in refused(path, source=1, target=2)
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, ["x", "x"])
    pyarrow.parquet.write_table(twice, tmp_path / "b.parquet")
    assert refused(tmp_path / "b.parquet").endswith("b.parquet: the column 'x' is there twice")


def test_bad_parquet_is_refused(tmp_path: Path) -> None:
    assert "not a Parquet file, or damaged" in refused(put(tmp_path / "a.parquet", b"a\tb\n" * 9))
    assert "compressed Parquet is not read" in refused(put(tmp_path / "a.parquet.gz", b""))
    assert "no such file" in refused(tmp_path / "b.parquet")
    broken = parquet(tmp_path / "c.parquet", source=["a", "b"], target=["c", "d\ne"])
    assert "c.parquet: row 2: 'target' holds a line break" in refused(broken)
    assert "row 2: 'source' is None" in refused(parquet(tmp_path / "d.parquet", source=["a", None], target=["c", "d"]))
