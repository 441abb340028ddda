"""How many rows a lease takes."""

from __future__ import annotations

import pytest

from jobs.sizing import LeaseSizer
from manifests.plan import MAX_LEASE_ROWS, shape_of
from tests.rows import make_row

SMALL, LARGE = shape_of(make_row()), shape_of(make_row(width=128))


def test_a_shape_not_timed_yet_gets_one_block() -> None:
    sizer = LeaseSizer(60)
    sizer.learn(SMALL, 10, 1.0)
    assert sizer.rows(LARGE, 1, 10**6) == 1
    assert sizer.rows(SMALL, 1, 10**6) > 1


@pytest.mark.parametrize(
    ("seconds_a_row", "rows"),
    [(2.0, 30), (7.0, 8), (59.0, 1), (600.0, 1), (0.01, MAX_LEASE_ROWS), (0.0, MAX_LEASE_ROWS)],
)
def test_a_lease_is_about_the_seconds_asked_for_within_its_bounds(seconds_a_row: float, rows: int) -> None:
    sizer = LeaseSizer(60)
    sizer.learn(SMALL, 4, 4 * seconds_a_row)
    assert sizer.rows(SMALL, 8, 10**6) == rows


@pytest.mark.parametrize(
    ("workers", "left", "rows"), [(2, 100, 25), (2, 8, 2), (2, 5, 2), (2, 1, 1), (8, 3, 1), (0, 7, 4)]
)
def test_toward_the_end_every_worker_keeps_two_leases_to_come(workers: int, left: int, rows: int) -> None:
    sizer = LeaseSizer(60)
    sizer.learn(SMALL, 1, 0.001)
    assert sizer.rows(SMALL, workers, left) == rows


def test_a_slow_first_lease_is_forgotten_step_by_step() -> None:
    sizer = LeaseSizer(60)
    sizer.learn(SMALL, 1, 30.0)  # compiled
    sizes = []
    for _ in range(12):
        sizer.learn(SMALL, 1, 1.0)
        sizes.append(sizer.rows(SMALL, 1, 10**6))
    assert sizes == sorted(sizes) and sizes[0] == 2 and 40 <= sizes[-1] <= 60


def test_leases_without_rows_teach_nothing() -> None:
    sizer = LeaseSizer(60)
    sizer.learn(SMALL, 0, 5.0)
    assert sizer.rows(SMALL, 1, 10**6) == 1


def test_where_weights_are_swapped_leases_are_large_enough_to_pay_for_it() -> None:
    sizer = LeaseSizer(60, swap_seconds=15)
    sizer.learn(SMALL, 1, 22 + 15)
    assert sizer.rows(SMALL, 1, 10**6) == 13  # 300 s of work for 15 s of swapping
    assert sizer.rows(SMALL, 2, 8) == 2  # toward the end a quarter of the time may be swapping
    assert sizer.rows(LARGE, 1, 10**6) == 1
