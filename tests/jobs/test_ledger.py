"""What the log adds up to."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from jobs.commits import end_record, lease_record, run_record, strike_record, withdraw_record
from jobs.ledger import Bitmap, Ledger
from workers.settings import LeaseResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_bitmap_agrees_with_a_set() -> None:
    dice = random.Random(2)
    bitmap, model = Bitmap(), set[int]()
    limits = [0, 1, 7, 8, 9, 63, 64, 65, 4095, 32768, 50_000, 70_000, 10**6]
    for _ in range(4000):
        value = dice.choice([dice.randrange(70), dice.randrange(60_000)])
        if dice.random() < 0.7:
            bitmap.add(value)
            model.add(value)
        else:
            bitmap.discard(value)
            model.discard(value)
    assert bitmap.count == len(model) > 1000
    for limit in [*limits, *dice.sample(range(70_000), 50)]:
        assert bitmap.count_below(limit) == sum(value < limit for value in model)
    assert [value for value in range(70_000) if value in bitmap] == sorted(model)


def test_ten_million_rows_take_little_more_than_a_megabyte() -> None:
    bitmap = Bitmap()
    bitmap.add(10_000_000)
    assert len(bitmap._bits) < 1_300_000


def _lease(name: str, done: tuple[int, ...], failed: tuple[int, ...] = ()) -> dict[str, object]:
    return lease_record(LeaseResult(name, "w0", done, failed, 2 * len(done), 1.0, ()), NOW)


def test_leases_add_up() -> None:
    ledger = Ledger([run_record("r", 9, NOW), _lease("a", (0, 1, 2), (4,)), _lease("b", (6,))])
    assert [k for k in range(9) if k in ledger] == [0, 1, 2, 4, 6]
    assert (ledger.rows, ledger.done.count, ledger.failed.count, ledger.pictures) == (9, 4, 1, 8)
    assert [ledger.finished(limit) for limit in (0, 3, 5, 9, 100)] == [0, 3, 4, 5, 5]
    assert ledger.ended_rows == 0


def test_strikes_are_counted_by_row_over_all_runs() -> None:
    ledger = Ledger([strike_record([1, 2], "x", NOW), run_record("s", 9, NOW), strike_record([2], "y", NOW)])
    assert ledger.strikes == {1: 1, 2: 2}
    assert 2 not in ledger


def test_a_withdrawn_lease_leaves_its_rows_to_be_done_again_and_the_job_unended() -> None:
    lease = _lease("a", (0, 1), (2,))
    ledger = Ledger([lease, _lease("b", (3,)), end_record(4, NOW)])
    assert ledger.ended_rows == 4
    ledger.apply(withdraw_record(lease, NOW))
    assert [k for k in range(4) if k in ledger] == [3]
    assert (ledger.pictures, ledger.ended_rows) == (2, 0)
    ledger.apply(_lease("c", (0, 1, 2)))
    assert ledger.finished(4) == 4 and ledger.failed.count == 0


def test_the_longest_end_counts() -> None:
    assert Ledger([end_record(9, NOW), end_record(3, NOW)]).ended_rows == 9


def test_records_of_a_later_version_are_passed_over() -> None:
    ledger = Ledger([{"kind": "telemetry", "rows": 7}])
    assert ledger.rows is None and ledger.finished(10) == 0
