"""Numbers as the report prints them, and the axes that they are drawn on."""

from __future__ import annotations

import pytest

from jobs.results.quantities import duration, milliseconds, rate, share, significant, utc
from jobs.results.webpage.plot import rectangles, time_axis, value_axis


def test_three_digits_count() -> None:
    values = (0, 0.012345, 0.5, 1.2345, 9.6, 9.996, 12.345, 123.45, 12345.6)
    texts = ["0", "0.0123", "0.500", "1.23", "9.60", "10.0", "12.3", "123", "12,346"]
    assert [significant(value) for value in values] == texts


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "–"), (0.5, "0.500 ms"), (12.34, "12.3 ms"), (4210, "4.21 s"), (119e3, "119 s"), (3725e3, "1 h 2 min")],
)
def test_short_times(ms: float | None, text: str) -> None:
    assert milliseconds(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "250 ms"),
        (59.4, "59.4 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rates_are_told_in_the_unit_that_makes_them_at_least_one() -> None:
    assert [rate(value) for value in (2.0, 0.5, 0.002, 1e-4)] == [
        ("2.00", "pictures/s"), ("30.0", "pictures/min"), ("7.20", "pictures/h"), ("8.64", "pictures/day"),
    ]  # fmt: skip


def test_a_share_is_never_rounded_to_nothing_or_all() -> None:
    assert [share(part, 10_000) for part in (0, 1, 250, 9_999, 10_000)] == [
        "0 %",
        "<0.1 %",
        "2.5 %",
        ">99.9 %",
        "100 %",
    ]
    assert share(0, 0) == "0 %"


def test_an_instant_is_told_in_utc() -> None:
    assert utc("2026-01-01T01:30:00+02:00") == "2025-12-31 23:30:00 UTC"


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 57, ["0", "20", "40", "60"]),
        (0, 0.31, ["0.0", "0.1", "0.2", "0.3", "0.4"]),
        (49.9, 52.4, ["49", "50", "51", "52", "53"]),
        (5, 5, ["5.0", "7.5", "10.0"]),
    ],
)
def test_axes_have_round_ticks_around_the_values(low: float, high: float, labels: list[str]) -> None:
    axis = value_axis(low, high, 2 if low == high else 4)
    assert [tick.label for tick in axis.ticks] == labels
    assert axis.low <= low and high <= axis.high and axis.ticks[0].at == 0 and axis.ticks[-1].at == 1
    assert (axis.y(axis.low), axis.y(axis.high)) == (100, 0)


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (1, ["0.00 s", "0.25 s", "0.50 s", "0.75 s", "1.00 s"]),
        (80, ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "1:00 min", "1:10 min", "1:20 min"]),
        (5 * 3600, ["0:00 h", "1:00 h", "2:00 h", "3:00 h", "4:00 h", "5:00 h"]),
        (20 * 86400, ["0 d", "3 d", "6 d", "9 d", "12 d", "15 d", "18 d"]),
    ],
)
def test_time_axes_tick_at_round_times(seconds: float, labels: list[str]) -> None:
    assert [tick.label for tick in time_axis(seconds).ticks] == labels


def test_rectangles_are_one_path() -> None:
    assert rectangles([(0, 1, 2.5, 3), (10, 0, 1, 1)]) == "M0 1h2.5v3h-2.5zM10 0h1v1h-1z"
