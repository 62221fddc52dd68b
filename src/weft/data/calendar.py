"""What dates tell ahead: where in its cycles a row stands, when the next rows are, how long a season is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weft.data.table import Times

DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")  # microseconds


def features(times: Times, cycles: Sequence[str]) -> NDArray[np.float64]:
    """(R,) -> (R,2*len(cycles)): sine and cosine of the place in the hour, day, week, month or year."""
    if not cycles:
        return np.zeros((len(times), 0))
    angles = np.stack([2 * np.pi * phase(times, cycle) for cycle in cycles], 1)
    return np.stack([np.sin(angles), np.cos(angles)], 2).reshape(len(times), -1)


def phase(times: Times, cycle: str) -> NDArray[np.float64]:
    """(R,) in 0..1: `minute` within the hour, `hour` within the day, `weekday`, `day` of the month, `month`."""
    of_day = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "D")
    days = times.astype("datetime64[D]")
    months = times.astype("datetime64[M]")
    match cycle:
        case "minute":
            return np.asarray(of_day * 24 % 1)
        case "hour":
            return np.asarray(of_day)
        case "weekday":
            return np.asarray((((days.astype(np.int64) + 3) % 7) + of_day) / 7)
        case "day":
            return np.asarray((days - months.astype("datetime64[D]")) / np.timedelta64(31, "D"))
    return np.asarray(months.astype(np.int64) % 12 / 12)


def months_apart(times: Times) -> int | None:
    """Months from each row to the next, where all are on one day, or on the last of a month too short for it."""
    months = times.astype("datetime64[M]")
    steps = np.unique(np.diff(months).astype(np.int64))
    if len(steps) != 1 or steps[0] < 1 or (on_day(months, day_of(times)) != times).any():
        return None
    return int(steps[0])


def day_of(times: Times) -> np.timedelta64:
    """How far into its month a row stands at most."""
    return np.timedelta64((times - times.astype("datetime64[M]")).max())


def on_day(months: Times, day: np.timedelta64) -> Times:
    """The times so far into these months, on the last day of one that is shorter."""
    days = day.astype("timedelta64[D]")
    last = (months + 1).astype("datetime64[D]") - months.astype("datetime64[D]") - np.timedelta64(1, "D")
    return np.asarray(months.astype("datetime64[us]") + np.minimum(days, last) + (day - days))


def after(times: Times, count: int) -> Times:
    """The times of so many rows after the last one, as far apart as rows mostly are; months stay months."""
    if months := months_apart(times):
        ahead = times[-1].astype("datetime64[M]") + months * np.arange(1, count + 1)
        return on_day(ahead, day_of(times))
    return np.asarray(times[-1] + usual_step(times) * np.arange(1, count + 1))


def usual_step(times: Times) -> np.timedelta64:
    """The most frequent time from one row to the next; a day where there is one row."""
    if len(times) < 2:
        return np.timedelta64(1, "D")
    steps, counts = np.unique(np.diff(times), return_counts=True)
    return np.timedelta64(steps[counts.argmax()])


def gaps(times: Times) -> int:
    """How often a row is farther from the one before than usual."""
    return 0 if months_apart(times) else int((np.diff(times) > usual_step(times)).sum())


def season(times: Times) -> int | None:
    """Rows of a day where a day has several, of a week where rows are days, of a year where they are months."""
    if months_apart(times) == 1:
        return 12
    rows = DAY / (usual_step(times) / np.timedelta64(1, "us"))
    if rows == 1:
        return 7
    return round(rows) if rows > 1 and rows == round(rows) else None


def written(times: Times) -> list[str]:
    """`2016-07-01`, or with the time of day where any has one: `2016-07-01 13:00:00`."""
    whole_days = bool((times == times.astype("datetime64[D]")).all())
    unit = "D" if whole_days else "s" if bool((times == times.astype("datetime64[s]")).all()) else "us"
    return [str(moment).replace("T", " ") for moment in times.astype(f"datetime64[{unit}]")]
