"""What dates tell ahead."""

from __future__ import annotations

import numpy as np
import pytest

from weft.data import calendar


def every(step: str, count: int, start: str = "2024-01-31T00:00") -> np.ndarray:
    return np.datetime64(start, "us") + np.arange(count) * np.timedelta64(int(step[:-1]), step[-1])


MONTHS = (np.datetime64("2023-11", "M") + np.arange(6)).astype("datetime64[us]")


@pytest.mark.parametrize(
    ("times", "season"),
    [(every("1h", 9), 24), (every("15m", 9), 96), (every("1D", 9), 7), (MONTHS, 12), (every("7h", 9), None)],
)
def test_a_season_follows_from_how_far_rows_are_apart(times: np.ndarray, season: int | None) -> None:
    assert calendar.season(times) == season


def test_rows_go_on_as_they_were() -> None:
    assert calendar.written(calendar.after(every("1D", 3), 2)) == ["2024-02-03", "2024-02-04"]
    assert calendar.written(calendar.after(every("6h", 2), 1)) == ["2024-01-31 12:00:00"]
    assert calendar.written(calendar.after(MONTHS, 2)) == ["2024-05-01", "2024-06-01"]


@pytest.mark.parametrize(
    ("dates", "after"),
    [
        (["2023-11-30", "2023-12-31", "2024-01-31"], ["2024-02-29", "2024-03-31", "2024-04-30"]),
        (["2024-02-29", "2024-03-31", "2024-04-30"], ["2024-05-31", "2024-06-30", "2024-07-31"]),
        (["2023-12-15T06:00", "2024-01-15T06:00"], ["2024-02-15 06:00:00", "2024-03-15 06:00:00"]),
        (["2023-09-30", "2023-12-31"], ["2024-03-31", "2024-06-30"]),
        (["2022-01-01", "2023-01-01"], ["2024-01-01", "2025-01-01"]),
        (["2024-01-01", "2024-01-29", "2024-02-26"], ["2024-03-25", "2024-04-22"]),
        (["2024-01-31", "2024-02-01"], ["2024-02-02", "2024-02-03"]),
        (["2024-01-31"], ["2024-02-01"]),
    ],
)
def test_rows_by_the_month_stay_on_their_day_or_the_last(dates: list[str], after: list[str]) -> None:
    times = np.array(dates, "datetime64[us]")
    assert calendar.written(calendar.after(times, len(after))) == after
    assert calendar.gaps(times) == 0


def test_one_missing_row_is_a_gap_and_changes_no_step() -> None:
    times = np.delete(every("1h", 10), 4)
    assert calendar.gaps(times) == 1
    assert calendar.usual_step(times) == np.timedelta64(1, "h")
    assert calendar.gaps(MONTHS) == 0


@pytest.mark.parametrize(("cycle", "step", "rows"), [("minute", "5m", 12), ("hour", "1h", 24), ("weekday", "1D", 7)])
def test_features_come_back_after_their_cycle_and_tell_its_rows_apart(cycle: str, step: str, rows: int) -> None:
    found = calendar.features(every(step, 2 * rows), [cycle])
    np.testing.assert_allclose(found[:rows], found[rows:], atol=1e-9)
    assert len(np.unique(found[:rows].round(6), axis=0)) == rows
    np.testing.assert_allclose((found**2).sum(1), 1)


def test_monday_begins_the_week_and_january_the_year() -> None:
    monday = np.array(["2024-01-01T00:00"], "datetime64[us]")
    np.testing.assert_allclose(calendar.features(monday, ["weekday", "month", "day"])[0], [0, 1, 0, 1, 0, 1])
