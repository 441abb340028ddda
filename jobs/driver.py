"""The driver's loop: hand out leases, commit what comes back, replace what dies.

    planner ──lease──> pool ──LeaseResult──> commit log (durable) ──> publish ──> ledger
                        └──death──> breadcrumb ──> strike (durable) ──> planner

Only the driver writes the log and moves files into the tables.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from jobs.commits import CommitLog, Record, lease_record, strike_record
from jobs.error_rows import ROWS_PER_FILE, write_error_rows
from jobs.ledger import Ledger
from jobs.planner import GivenUp, LeasePlanner
from jobs.pool import Event, Member, WorkerPool
from jobs.publish import Publisher
from jobs.sizing import LeaseSizer
from manifests.errors import AttentionError, JobStopped, ModelError, one_line
from manifests.plan import Lease, shape_of
from manifests.row import BadRow, Row
from manifests.schemas import TABLES
from manifests.storage import Location, is_full
from workers.breadcrumb import breadcrumb_location, read_breadcrumb
from workers.settings import Decisions, LeaseResult, WorkerFacts
from workers.tables import TableWriter

_MAX_BARREN_DEATHS = 4  # deaths in a row without one finished lease, while loading or writing
_WAIT_SECONDS = 0.5

log = logging.getLogger("renderay.driver")


class Job(Protocol):
    """What the loop asks of the job it drives."""

    def admit(self, facts: WorkerFacts) -> Decisions | None:
        """Check a loaded worker's model; the decisions that hold for its GPU model, None where there are none yet."""

    def adopt(self, facts: WorkerFacts, decisions: Decisions) -> None:
        """Keep what a worker decided for all workers of its GPU model, now and on resume."""

    def sample(self, facts: WorkerFacts) -> Row | None:
        """The first row that can be rendered, whose shape measurements are made at."""

    def make_planner(self, facts: WorkerFacts, decisions: Decisions) -> LeasePlanner:
        """The planner, once the model is known."""


@dataclass
class Driver:
    """One run over one job; `on_turn` is called about twice a second, and more often when much happens."""

    out: Location
    run_id: str
    job: Job
    ledger: Ledger
    commits: CommitLog
    publisher: Publisher
    sizer: LeaseSizer
    pool: WorkerPool
    extra: dict[str, str]
    stall_timeout: float
    on_turn: Callable[[], None]
    planner: LeasePlanner | None = None
    _barren_deaths: int = 0
    _results: list[LeaseResult] = field(default_factory=list)
    _leases: dict[str, Lease] = field(default_factory=dict)
    _error_files: int = 0

    def run(self, workers: int) -> None:
        """Render until nothing is left. ModelError, AttentionError, JobStopped where that cannot be."""
        for _ in range(workers):
            self.pool.start()
        while not self._finished():
            for event in self.pool.events(_WAIT_SECONDS):
                self._on_event(event)
            for member in self.pool.stalled(self.stall_timeout):
                self._bury(member, f"no progress for {self.stall_timeout:.0f} s")
            if not any(member.stage == "ready" for member in self.pool.members.values()) and not self.pool.has_nodes():
                raise JobStopped("stopped: the Ray cluster has no node left alive; the same command resumes")
            self._hand_out()
            self._commit()
            self.on_turn()

    def _finished(self) -> bool:
        return self.planner is not None and self.planner.exhausted and not self.pool.in_flight() and not self._results

    def _on_event(self, event: Event) -> None:
        if event.kind == "loaded":
            self._on_loaded(event.member)
        elif event.kind == "decided":
            self._on_decided(event.member, event.value)
        elif event.kind == "finished" and event.lease is not None:
            self._results.append(event.value)
            self._leases[event.value.lease_id] = event.lease
            self._barren_deaths = 0
        elif event.kind == "died":
            self._on_death(event.member, event.value)

    def _on_loaded(self, member: Member) -> None:
        assert member.facts is not None
        decisions = self.job.admit(member.facts)
        if decisions is not None:
            if self.planner is None:
                self.planner = self.job.make_planner(member.facts, decisions)
                if not self.ledger.opened:
                    self._open_tables()
            self.pool.begin(member, decisions)
        elif not any(other.stage == "deciding" for other in self.pool.members.values()):
            self.pool.decide(member, self.job.sample(member.facts))  # the others wait, loaded, for what it decides

    def _on_decided(self, member: Member, decisions: Decisions) -> None:
        assert member.facts is not None
        self.job.adopt(member.facts, decisions)
        member.stage = "loaded"
        for other in list(self.pool.members.values()):
            if other.stage == "loaded":
                self._on_loaded(other)

    def _open_tables(self) -> None:
        """Publish an empty file a table, so that every reader finds every table from the beginning."""
        stem = f"{self.run_id}-open"
        writers = [TableWriter(self.out, table, stem, self.extra) for table in TABLES]
        files = tuple(file for writer in writers if (file := writer.close(keep_empty=True)))
        self._results.append(LeaseResult(stem, "driver", (), (), 0, 0.0, files))

    def _hand_out(self) -> None:
        if self.planner is None:
            return
        while ready := self.pool.ready():
            lease = self.planner.next_lease(len(self.pool.members))
            if lease is None:
                break
            self.pool.lend(ready[0], lease)

    # deaths

    def _on_death(self, member: Member, error: Exception) -> None:
        cause = getattr(error, "cause", None) or error  # Ray wraps what a worker raises, traceback and all
        if isinstance(cause, ModelError | AttentionError):
            raise cause
        if member.leases and is_full(cause):
            raise cause  # a new worker could write no more than this one
        if member.leases and not isinstance(cause, OSError):
            self._bury(member, one_line(error, 500))
            return
        # no row is at fault: the worker died while loading, or could not write
        self._barren_deaths += 1
        reason = one_line(cause, 500)
        log.warning("%s failed: %s", member.worker_id, reason)
        if self._barren_deaths >= _MAX_BARREN_DEATHS:
            what = "write its pictures" if member.leases else "load the model"
            raise JobStopped(
                f"stopped: workers failed {self._barren_deaths} times in a row to {what}: {reason}; "
                f"see {self.out.uri}/_logs; the same command resumes"
            )
        for lease in self.pool.remove(member):
            if self.planner is not None:
                self.planner.put_back(lease)
        self.pool.start()

    def _bury(self, member: Member, reason: str) -> None:
        """Replace a worker that died or hangs over a lease; strike the rows it was rendering."""
        leases = self.pool.remove(member)
        crumb = breadcrumb_location(self.out, member.worker_id)
        found = read_breadcrumb(crumb)
        crumb.delete()
        assert self.planner is not None
        for lease in leases:
            guilty = found[1] if found and found[0] == lease.lease_id else ()
            if guilty:
                log.warning("%s died over rows %s of %s: %s", member.worker_id, guilty, lease.lease_id, reason)
                self._write([strike_record(guilty, reason, _now(), member.worker_id)])
                self.planner.crashed(lease, guilty, reason)
            else:
                self.planner.put_back(lease)
        if not found:
            log.warning("%s died before it began a batch: %s", member.worker_id, reason)
            self._barren_deaths += 1
            if self._barren_deaths >= _MAX_BARREN_DEATHS:
                raise JobStopped(f"stopped: workers died {self._barren_deaths} times before a batch: {reason}")
        self.pool.start()

    # commits

    def _commit(self) -> None:
        """Make all that came back durable in one go, then publish it."""
        results, self._results = self._results, []
        results += self._error_results()
        if not results:
            return
        self._write([lease_record(result, _now()) for result in results])
        self.publisher.publish([file for result in results for file in result.files])
        for result in results:
            lease = self._leases.pop(result.lease_id, None)
            if lease is not None:
                self.sizer.learn(shape_of(lease.rows[0]), len(lease.rows), result.seconds)

    def _write(self, records: list[Record]) -> None:
        self.commits.append(records)
        for record in records:
            self.ledger.apply(record)

    def _error_results(self) -> list[LeaseResult]:
        """Errors rows that no worker can write: unreadable manifest rows, and rows that kill workers."""
        if self.planner is None or not (self.planner.bad_rows or self.planner.given_up):
            return []
        rows: list[BadRow | GivenUp] = [*self.planner.bad_rows, *self.planner.given_up]
        self.planner.bad_rows.clear()
        self.planner.given_up.clear()
        results = []
        for first in range(0, len(rows), ROWS_PER_FILE):
            lease_id = f"{self.run_id}-e{self._error_files:05d}"
            self._error_files += 1
            results.append(write_error_rows(self.out, lease_id, rows[first : first + ROWS_PER_FILE], self.extra))
        return results


def _now() -> datetime:
    return datetime.now(UTC)
