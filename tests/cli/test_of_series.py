"""weft evaluate, predict, look and serve with a model of series."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from series import DIRECT, daily_cycles, settings, write_csv, write_recipe

import weft
from weft.cli.main import main
from weft.cli.series import records
from weft.look.forecast import print_comparison
from weft.metrics.forecast import Errors
from weft.tasks.series import Comparison, SeriesModel


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    write_csv(folder / "series.csv", daily_cycles(200))
    model = DIRECT | {"output": {"kind": "values", "loss": "quantile"}}
    weft.train(
        write_recipe(folder, settings(folder, model)),
        "training.steps=120",
        "training.save_every=120",
        "validation.every=40",
        say=lambda line: None,
    )
    return folder / "runs/run"


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    assert end.value.code == 0, out.err
    return out.out


def test_evaluate_prints_the_baselines_beside_the_score(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = told(capsys, "evaluate", run, "--jsonl", tmp_path / "e.jsonl", "--picture", tmp_path / "e.png")
    assert "33 windows of 8 rows ahead" in printed
    rows = {line[:13].strip(): line.split()[-3:] for line in printed.split("\n") if "repeat" in line or "model" in line}
    assert float(rows["model"][0]) < float(printed.split("repeat last")[1].split()[0])
    assert "repeat season" in rows
    assert "in interval" in printed
    records = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert len(records) == 8 * 2
    assert records[0].keys() == {"row", "column", "mse", "mae", "mse_repeat_last", "mse_repeat_season"}
    assert (tmp_path / "e.png").stat().st_size > 5000


def test_names_of_files_and_columns_are_printed_as_they_are(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = weft.load(run)
    assert isinstance(model, SeriesModel)
    series, part, _ = model.test_part()
    columns = ["rain [/h] in [mm]", f"{'temperature' * 9} :car:"]
    print_comparison(model.compare(series, part), columns, "a[b]:car:.csv", Console(width=40, file=sys.stdout))
    printed = capsys.readouterr().out
    assert printed.startswith("a[b]:car:.csv, 33 windows")
    last = printed.rstrip("\n").split("\n")[-2:]
    assert [line[: len(columns[1])].rstrip() for line in last] == columns
    assert "…" not in printed
    assert max(map(len, printed.split("\n"))) < 200


def test_a_record_without_a_value_is_json_all_the_same() -> None:
    (record,) = records(Comparison(1, Errors.none(1, 1), Errors.none(1, 1), None), ["a"])
    assert record == {"row": 1, "column": "a", "mse": None, "mae": None, "mse_repeat_last": None}


def test_evaluate_takes_another_file_whole(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_csv(tmp_path / "other.csv", daily_cycles(50, seed=5))
    assert "27 windows" in told(capsys, "evaluate", run, other)


def test_predict_continues_a_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run.parent.parent / "series.csv"
    lines = told(capsys, "predict", run, file).splitlines()
    assert lines[0] == "date,a,b,a_0.1,b_0.1,a_0.9,b_0.9"
    assert lines[1].startswith("2024-01-26 00:00:00,")
    assert len(lines) == 9
    record = json.loads(told(capsys, "predict", run, file, "--jsonl").splitlines()[0])
    assert record["a"] == pytest.approx(float(lines[1].split(",")[1]), rel=1e-5)


def test_look_draws_forecasts_and_curves(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = tmp_path / "f.png"
    assert told(capsys, "look", run, "--forecast", "--column", "a", "--column", "b", "--out", drawn) == f"{drawn}\n"
    assert drawn.stat().st_size > 20_000
    told(capsys, "look", run, "--curves", tmp_path / "c.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "{run}", "x.csv", "--n-best", "2"], "--n-best is about text; {run} is a model of series"),
        (["evaluate", "{run}", "--beam", "2"], "--beam is about text; {run} is a model of series"),
        (["evaluate", "{run}", "a.csv", "b.csv"], "a series is one file; 2 files given"),
        (["look", "{run}", "--forecast", "--column", "c"], "the model forecasts no column 'c'; its columns are a, b"),
        (["look", "{run}", "--attention", "x"], "{run} is a model of series"),
        (["serve", "{run}", "--port", "0"], "{run} is a model of series"),
    ],
)
def test_what_a_series_has_not_is_refused(
    run: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([argument.format(run=run) for argument in arguments])
    assert end.value.code == 2
    assert message.format(run=run) in capsys.readouterr().err
