"""Numbers from CSV, TSV, Parquet and memory, and what is said of cells that are none."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from weft.data.table import read_table, table_of_columns
from weft.errors import WeftError

TEXT = "date,a,b\n2024-01-01 00:00,1,-2.5\n2024-01-01 01:00,,3e2\n2024-01-01 02:00,4,NaN\n"
VALUES = np.array([[1, -2.5], [np.nan, 300], [4, np.nan]])


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.tsv"])
def test_cells_become_numbers_and_empty_ones_are_missing(tmp_path: Path, name: str) -> None:
    text = TEXT.replace(",", "\t") if name == "s.tsv" else TEXT
    table = read_table(written(tmp_path, name, text), "date")
    assert table.columns == ["a", "b"]
    np.testing.assert_array_equal(table.values, VALUES)
    assert table.times is not None
    assert str(table.times[2]) == "2024-01-01T02:00:00.000000"


def test_parquet_and_columns_in_memory_give_the_same(tmp_path: Path) -> None:
    csv = read_table(written(tmp_path, "s.csv", TEXT), "date")
    columns = {
        "date": [datetime(2024, 1, 1, hour) for hour in range(3)],
        "a": [1.0, None, 4.0],
        "b": [-2.5, 300.0, float("nan")],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "s.parquet")
    for table in (read_table(str(tmp_path / "s.parquet"), "date"), table_of_columns("memory", columns, "date")):
        np.testing.assert_array_equal(table.values, csv.values)
        np.testing.assert_array_equal(table.times, csv.times)


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "s.csv", TEXT), None, ["b", "a"])
    np.testing.assert_array_equal(table.values, VALUES[:, ::-1])
    assert table.times is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("3e2", "many"), "s.csv:3: column 'b' is 'many'; expected a number, or an empty cell"),
        (TEXT.replace("3e2", "inf"), "s.csv:3: column 'b' is 'inf'; expected a number"),
        (TEXT.replace("01:00", "noon"), "s.csv:3: column 'date' is '2024-01-01 noon'; expected a date such as"),
        (TEXT.replace("02:00", "01:00"), "s.csv:4: column 'date' is '2024-01-01 01:00', which is not after the row"),
        (TEXT.replace("4,NaN", "4"), "s.csv:4: 2 columns found, 3 expected"),
        (TEXT.replace("date,", "day,"), "s.csv:1: no column 'date'; the columns are 'day', 'a', 'b'"),
        (TEXT.replace("a,b", "a,a"), "s.csv:1: the column 'a' is there twice"),
        ("1,2,3\n4,5,6\n", "s.csv:1: the first line names the columns, but all that stands there is numbers"),
        ("", "s.csv: it is empty; expected a first line with the names of the columns"),
    ],
)
def test_what_is_no_table_is_told_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WeftError) as caught:
        read_table(written(tmp_path, "s.csv", text), "date")
    assert message in str(caught.value)


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(WeftError, match="the columns have 2, 3 rows"):
        table_of_columns("memory", {"a": [1, 2], "b": [1, 2, 3]}, None)
    with pytest.raises(WeftError, match="memory: the columns have 2, 3 rows; expected equally many"):
        table_of_columns("memory", {"date": ["2024-01-01", "2024-01-02"], "a": [1, 2, 3]}, "date")
