"""Which rows go out next: in order, whole blocks, retries first, the guilty ever more alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain

import pytest

from jobs.commits import Record, lease_record, strike_record
from jobs.ledger import Ledger
from jobs.planner import WINDOW_ROWS, LeasePlanner
from jobs.sizing import LeaseSizer
from manifests.plan import Lease, Picture, cut_batches, cut_blocks, shape_of
from manifests.row import BadRow, Row
from tests.rows import bad_row, make_row
from workers.settings import LeaseResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Job:
    """A planner over a manifest of `rows`, and what a driver does with it."""

    def __init__(
        self, rows: Sequence[Row | BadRow], batch_size: int = 1, lease_rows: int = 1, log: Sequence[Record] = ()
    ) -> None:
        self.ledger = Ledger(log)
        sizer = LeaseSizer(lease_rows)
        for row in rows:
            if isinstance(row, Row):
                sizer.learn(shape_of(row), 1, 1.0)
        self.planner = LeasePlanner(cut_blocks(rows, batch_size), self.ledger, sizer, "run", len(rows))

    def leases(self, workers: int = 1) -> list[Lease]:
        """All that goes out while nothing comes back."""
        return list(iter(lambda: self.planner.next_lease(workers), None))

    def finish(self, lease: Lease) -> None:
        self.ledger.apply(finished(*(row.ordinal for row in lease.rows)))

    def crash(self, lease: Lease, *guilty: int) -> None:
        self.ledger.apply(struck(*guilty))
        self.planner.crashed(lease, guilty, "segmentation fault")


def finished(*ordinals: int) -> Record:
    return lease_record(LeaseResult("x", "w0", ordinals, (), len(ordinals), 1.0, ()), NOW)


def struck(*ordinals: int) -> Record:
    return strike_record(ordinals, "died", NOW)


def rows(count: int, **changes: object) -> list[Row | BadRow]:
    return [make_row(k, **changes) for k in range(count)]


def ordinals(leases: Sequence[Lease]) -> list[list[int]]:
    return [[row.ordinal for row in lease.rows] for lease in leases]


def test_leases_are_whole_blocks_in_manifest_order() -> None:
    job = Job(rows(40), batch_size=2, lease_rows=20)
    leases = job.leases()
    assert ordinals(leases) == [list(range(16)), list(range(16, 24)), list(range(24, 32)), list(range(32, 40))]
    assert all(len(block.rows) == 8 for lease in leases for block in lease.blocks)
    assert [(lease.attempt, lease.split) for lease in leases] == [(1, False)] * 4
    assert len({lease.lease_id for lease in leases}) == 4
    assert job.planner.exhausted


def test_a_lease_holds_one_shape() -> None:
    mixed = [make_row(k, width=64 + 64 * (k % 2)) for k in range(12)]
    leases = Job(mixed, lease_rows=64).leases()
    assert sorted(k for lease in leases for k in ordinals([lease])[0]) == list(range(12))
    assert all(len({row.width for row in lease.rows}) == 1 for lease in leases)


def test_more_workers_get_smaller_leases() -> None:
    assert len(Job(rows(32), lease_rows=64).leases(workers=8)[0].rows) == 2


def test_what_the_ledger_holds_is_not_handed_out_again() -> None:
    job = Job([*rows(6), bad_row(6), bad_row(7)], log=[finished(0, 2, 3, 6)])
    assert ordinals(job.leases()) == [[1], [4], [5]]
    assert [row.ordinal for row in job.planner.bad_rows] == [7]


def test_a_finished_job_hands_out_nothing() -> None:
    job = Job(rows(3), log=[finished(0, 1, 2)])
    assert not job.planner.exhausted
    assert job.leases() == [] and job.planner.exhausted


def test_a_manifest_of_bad_rows_alone_comes_out_in_portions_and_ends() -> None:
    job = Job([bad_row(k) for k in range(2 * WINDOW_ROWS + 5)])
    portions = []
    while not job.planner.exhausted:
        assert job.planner.next_lease(1) is None
        portions.append([row.ordinal for row in job.planner.bad_rows])
        job.planner.bad_rows.clear()
    assert [len(portion) for portion in portions] == [WINDOW_ROWS, WINDOW_ROWS, 5]
    assert list(chain(*portions)) == list(range(2 * WINDOW_ROWS + 5))


def test_the_manifest_is_read_a_window_ahead_and_no_further() -> None:
    read = 0

    def reading() -> object:
        nonlocal read
        for read in range(10 * WINDOW_ROWS):
            yield make_row(read)

    planner = LeasePlanner(cut_blocks(reading(), 1), Ledger(), LeaseSizer(1), "run", 10 * WINDOW_ROWS)  # type: ignore[arg-type]
    for _ in range(3):
        planner.next_lease(1)
    assert read <= WINDOW_ROWS + 3


def test_a_lease_put_back_goes_out_first_as_it_was_under_a_new_id() -> None:
    job = Job(rows(24), batch_size=2, lease_rows=8)
    first = job.planner.next_lease(1)
    assert first is not None
    job.planner.put_back(first)
    assert not job.planner.exhausted
    again = job.planner.next_lease(1)
    assert again is not None and again.blocks == first.blocks and again.lease_id != first.lease_id
    assert (again.attempt, again.split) == (1, False)


def test_a_crash_costs_the_guilty_block_a_lease_of_its_own_and_others_nothing() -> None:
    job = Job(rows(64), batch_size=2, lease_rows=16)
    lease = job.planner.next_lease(1)
    assert lease is not None and len(lease.blocks) == 2
    job.crash(lease, 2, 3)
    innocent, guilty = job.planner.next_lease(1), job.planner.next_lease(1)
    assert innocent is not None and guilty is not None
    assert (innocent.blocks, innocent.attempt, innocent.split) == (lease.blocks[1:], 1, False)
    assert (guilty.blocks, guilty.attempt, guilty.split) == (lease.blocks[:1], 2, False)
    assert len({lease.lease_id, innocent.lease_id, guilty.lease_id}) == 3


def poisoned(job: Job, poison: int, guilty: int) -> dict[int, Lease]:
    """Drive a job whose row `poison` kills every worker it meets; the last lease of each finished row.

    The breadcrumb names the `guilty` rows that share its batch, or the poison alone once it is split off.
    """
    last: dict[int, Lease] = {}
    while lease := job.planner.next_lease(1):
        if poison in [row.ordinal for row in lease.rows]:
            job.crash(lease, *((poison,) if lease.split else range(guilty)))
        else:
            job.finish(lease)
            last |= {row.ordinal: lease for row in lease.rows}
    return last


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_row_that_kills_every_worker_is_given_up_after_three_and_costs_no_other_row(batch_size: int) -> None:
    job = Job(rows(40), batch_size=batch_size, lease_rows=32)
    last = poisoned(job, 0, batch_size)
    assert sorted(last) == list(range(1, 40))
    [given_up] = job.planner.given_up
    assert (given_up.row.ordinal, given_up.strikes, given_up.reason) == (0, 3, "segmentation fault")
    assert job.planner.exhausted
    assert all(count < 3 for ordinal, count in job.ledger.strikes.items() if ordinal != 0)


def test_every_row_that_left_its_batch_says_so() -> None:
    job = Job(rows(40), batch_size=4, lease_rows=32)
    last = poisoned(job, 0, 4)
    apart = {ordinal for ordinal, lease in last.items() if lease.split}
    assert apart == set(range(1, 16))  # the poisoned row's block
    assert {ordinal for ordinal, lease in last.items() if lease.attempt > 1} == apart


def test_the_lone_suspects_go_out_with_one_row_each() -> None:
    job = Job(rows(8), batch_size=2, log=[struck(0, 1), struck(0, 1)])
    leases = job.leases()
    assert ordinals(leases) == [[k] for k in range(8)]
    assert all(lease.split for lease in leases)
    assert [lease.attempt for lease in leases[:2]] == [3, 3]


def test_strikes_of_an_earlier_run_count() -> None:
    job = Job(rows(4), log=[struck(1), struck(2), struck(2), struck(3), struck(3), struck(3)])
    leases = job.leases()
    assert {lease.rows[0].ordinal: (lease.attempt, lease.split) for lease in leases} == {
        0: (1, False),
        1: (2, False),
        2: (3, True),
    }
    assert [(given.row.ordinal, given.strikes) for given in job.planner.given_up] == [(3, 3)]
    assert job.planner.exhausted


@pytest.mark.parametrize("done", [(0,), (0, 1), (0, 1, 2), (3,), (0, 5, 6, 7)])
def test_a_block_that_is_partly_done_is_cut_into_the_batches_it_had_or_says_that_it_was_not(
    done: tuple[int, ...],
) -> None:
    def batches(some: Sequence[Row]) -> list[tuple[int, ...]]:
        pictures = [Picture(row, 0, 0) for row in some]
        return [tuple(p.row.ordinal for p in batch) for batch in cut_batches(pictures, [None] * len(pictures), 2)]

    whole = [make_row(k) for k in range(8)]
    leases = Job(whole, batch_size=2, log=[finished(*done)]).leases()
    assert sorted(chain(*ordinals(leases))) == [k for k in range(8) if k not in done]
    for lease in leases:
        if lease.attempt == 1:
            cut = [batch for block in lease.blocks for batch in batches(block.rows)]
            assert set(cut) <= set(batches(whole))
