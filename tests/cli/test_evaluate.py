import json
import os
import re

import pytest
from matplotlib.image import imread

import weft


def outputs(model, words):
    return [str(prediction) for prediction in weft.load(model).predict(words)]


def test_scores_are_those_of_what_the_model_says(run_weft, model, tmp_path):
    """Of three words, one expects what comes out, and one all of it but the last of its phonemes."""
    words = ["phone", "cat", "tomato"]
    said = [output.split() for output in outputs(model, words)]
    expected = [" ".join(said[0]), " ".join([*said[1][:-1], "X"]), " ".join(said[2])]
    pairs = tmp_path / "test.tsv"
    pairs.write_text("".join(f"{word}\t{line}\n" for word, line in zip(words, expected, strict=True)))
    code, out, _ = run_weft("evaluate", model, pairs)
    assert code == 0
    assert "line error rate 33.33  (nrefs:1|units:lines|refs:any|weft:" in out
    assert f"unit error rate {100 / sum(map(len, said)):.2f}  (nrefs:1|units:whitespace|refs:best|weft:" in out
    assert re.search(r"source +cat\n +expected .* X\n +got ", out)
    assert "X" in out.partition("most often taken")[2]
    assert "\x1b" not in out


def test_several_references_make_one_item(run_weft, model, make_model, pairs_file):
    assert "6 items" in run_weft("evaluate", model, pairs_file)[1]
    assert "5 items" in run_weft("evaluate", model, pairs_file, "--several-references")[1]
    several = make_model(test=pairs_file, several_references=True)
    assert "5 items" in run_weft("evaluate", several)[1]
    assert "6 items" in run_weft("evaluate", several, "--no-several-references")[1]


def test_columns_parallel_text_and_several_files_are_the_same_pairs(run_weft, model, pairs_file, tmp_path):
    rows = [line.split("\t") for line in pairs_file.read_text().splitlines()]
    (tmp_path / "source").write_text("".join(f"{source}\n" for source, _ in rows))
    (tmp_path / "target").write_text("".join(f"{target}\n" for _, target in rows))
    table = "sounds,word\n" + "".join(f"{target},{source}\n" for source, target in rows)
    (tmp_path / "table.csv").write_text(table)
    for number, part in enumerate((rows[:2], rows[2:])):
        (tmp_path / f"part{number}.tsv").write_text("".join("\t".join(row) + "\n" for row in part))
    _, expected, _ = run_weft("evaluate", model, pairs_file)
    for arguments in (
        ("--source", tmp_path / "source", "--target", tmp_path / "target"),
        (tmp_path / "table.csv", "--columns-source", "word", "--columns-target", "sounds"),
        (tmp_path / "part0.tsv", tmp_path / "part1.tsv"),
    ):
        assert run_weft("evaluate", model, *arguments)[:2] == (0, expected)


@pytest.mark.parametrize("score", [[], ["--score"]])
def test_what_a_first_line_is_taken_for_is_told(run_weft, model, pairs_file, tmp_path, score):
    (tmp_path / "headed.tsv").write_text("word\tphonemes\n" + pairs_file.read_text())
    for name, what, value in ((pairs_file, "a pair", "true"), (tmp_path / "headed.tsv", "a header", "false")):
        err = run_weft("evaluate", model, name, *score)[2]
        assert err.startswith(f"weft: {name}: the first line is taken for {what}, '")
        assert err.partition("\n")[0].endswith(f"data.columns.header={value} in {model / 'recipe.yaml'})")
    assert run_weft("evaluate", model, name, "--columns-source", "word", "--columns-target", "phonemes")[2] == ""


def test_pairs_without_text_are_counted(run_weft, model, tmp_path):
    pairs = tmp_path / "test.tsv"
    pairs.write_text("cat\tK AE T\n\t\ncat\t\n")
    code, out, err = run_weft("evaluate", model, pairs)
    assert code == 0 and err.startswith("weft: 2 pairs with an empty side are left out\n")
    assert "1 item;" in out
    pairs.write_text("cat\tK AE T\n\t\n")
    assert run_weft("evaluate", model, pairs)[2].startswith("weft: 1 pair with an empty side is left out\n")
    pairs.write_text("\n")
    code, _, err = run_weft("evaluate", model, pairs)
    assert code == 2 and f"{pairs}: there is no pair to score" in err


def test_jsonl_has_each_item(run_weft, model, pairs_file, tmp_path):
    found = tmp_path / "found.jsonl"
    run_weft("evaluate", model, pairs_file, "--several-references", "--jsonl", found, "--beam", 1)
    records = [json.loads(line) for line in found.read_text().splitlines()]
    assert [record["source"] for record in records] == ["phone", "cat", "tomato", "a", "potatoes"]
    assert records[2]["references"] == ["T AH M EY T OW", "T AH M AA T OW"]
    expected = weft.load(model).predict([record["source"] for record in records], beam=1)
    assert [record["output"] for record in records] == [str(prediction) for prediction in expected]
    assert [record["score"] for record in records] == [prediction.score for prediction in expected]
    assert {record["finish_reason"] for record in records} <= {"end", "length"}
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]


def test_a_pipe_is_written_to_and_stays_one(run_weft, model, pairs_file, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    code, _, err = run_weft("evaluate", model, pairs_file, "--jsonl", pipe, "--beam", 1)
    assert (code, len(os.read(reading, 1 << 16).splitlines())) == (0, 6), err
    os.close(reading)
    assert pipe.is_fifo()


def test_cut_off_outputs_are_counted(run_weft, model, pairs_file, tmp_path):
    _, out, _ = run_weft("evaluate", model, pairs_file, "--max-ratio", 0.001, "--max-extra", 1)
    assert "6 items; 6 outputs were cut off at the length cap" in out
    one = tmp_path / "one.tsv"
    one.write_text("cat\tK AE T\n")
    _, out, _ = run_weft("evaluate", model, one, "--max-ratio", 0.001, "--max-extra", 1)
    assert "1 item; 1 output was cut off at the length cap" in out


def test_an_output_of_nothing_is_called_so(run_weft, model, pairs_file):
    _, out, _ = run_weft("evaluate", model, pairs_file, "--max-ratio", 0.001, "--max-extra", 0, "--min-length", 0)
    assert "  got       (nothing)\n" in out


def test_worst_can_be_left_out(run_weft, model, pairs_file):
    assert run_weft("evaluate", model, pairs_file, "--worst", 2)[1].count("expected") == 2
    assert run_weft("evaluate", model, pairs_file, "--worst", 0)[1].count("expected") == 0


def test_the_first_metric_is_broken_down_by_length(run_weft, model, pairs_file, tmp_path):
    picture = tmp_path / "length.png"
    _, out, _ = run_weft("evaluate", model, pairs_file, "--metrics", "chrf, exact_match", "--picture", picture)
    assert re.search(r"^chrF \d+\.\d\d  \(nrefs:1\|case:mixed.*\)$", out, re.MULTILINE)
    assert re.search(r"^exact match 0\.00  \(", out, re.MULTILINE)
    assert "chrF by source length, in characters" in out
    assert len(imread(picture)) > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "has no data.test; name the pairs: weft evaluate"),
        (("none.tsv",), "none.tsv: no such file"),
        (("pairs.tsv", "--metrics", "blue"), "unknown metric 'blue'; did you mean 'bleu'?"),
        (("--source", "a"), "--source and --target belong together"),
        (("pairs.tsv", "--source", "a", "--target", "b"), "not both"),
        (("pairs.tsv", "--target", "b"), "expected pairs in pairs.tsv or in --target, not both"),
        (("pairs.tsv", "--columns-source", "word"), "no column 'word'"),
        (("pairs.tsv", "--beam", "0"), "search.beam is 0"),
        (("pairs.tsv", "--jsonl", "nowhere/found.jsonl"), "nowhere/found.jsonl: cannot be written"),
        (("pairs.tsv", "--jsonl", "."), ".: cannot be written"),
        (("pairs.tsv", "--picture", "length.gif"), "length.gif: a picture's name ends in .png"),
        (("pairs.tsv", "--picture", "pairs.tsv/a/length.png"), "pairs.tsv/a/length.png: cannot be written"),
        (("pairs.tsv", "--worst", "-1"), "--worst is -1; expected 0 or more"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_predicted(
    run_weft, model, pairs_file, monkeypatch, arguments, message
):
    monkeypatch.chdir(pairs_file.parent)
    if "--beam" not in arguments:
        monkeypatch.setattr("weft.tasks.evaluate.evaluate", None)
    code, _, err = run_weft("evaluate", model, *arguments)
    assert code == 2
    assert message in err


def test_predict_counts_on_standard_error_what_is_to_be_known(run_weft, model, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("cat\nqat\n")
    found = run_weft("predict", model, lines, "--jsonl", "--max-ratio", 0.001, "--max-extra", 1)
    records = [json.loads(line) for line in found[1].splitlines()]
    assert [record.get("unknown_source_tokens", 0) for record in records] == [0, 1]
    assert found[2] == (
        "weft: 2 outputs were cut off at the length cap (--max-ratio, --max-extra)\n"
        "weft: 1 line holds what the model has never seen (unknown_source_tokens)\n"
    )
