"""What every worker did when: its leases, its batches, its idle gaps, and what failed there.

A lease begins with the encoding of its prompts; a batch is busy from its pipeline call to its decoded pixels. Whatever
lies between is idle, failed tries included: a picture that is not in the table has no time of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from jobs.commits import Record, from_ranges
from jobs.results.report.database import Connection, rows
from jobs.results.report.workclock import WorkClock

Span = tuple[float, float]  # seconds on the work clock


@dataclass
class WorkerActivity:
    """One worker process; times in seconds on the work clock."""

    worker_id: str
    place: str
    pictures: int = 0
    leases: list[Span] = field(default_factory=list)  # in order
    busy: list[Span] = field(default_factory=list)  # apart, in order
    warm: list[Span] = field(default_factory=list)
    failures: list[tuple[float, int]] = field(default_factory=list)  # when a lease came back, and its failed rows
    deaths: list[tuple[float, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its short name, the run left out."""
        return self.worker_id.rsplit("-", 1)[-1]

    @property
    def span(self) -> Span:
        """From its first picture to its last."""
        return (self.busy[0][0], self.busy[-1][1]) if self.busy else (0.0, 0.0)

    @property
    def busy_s(self) -> float:
        """Seconds in which a picture was under way."""
        return sum(ended - began for began, ended in self.busy)

    @property
    def idle_s(self) -> float:
        """Seconds between first and last picture with none under way."""
        return max(0.0, self.span[1] - self.span[0] - self.busy_s)

    @property
    def longest_gap(self) -> Span | None:
        """Its longest idle time."""
        gaps = [(before[1], after[0]) for before, after in pairwise(self.busy)]
        return max(gaps, key=lambda gap: gap[1] - gap[0], default=None)


def workers(connection: Connection, records: Iterable[Record], clock: WorkClock) -> list[WorkerActivity]:
    """Every worker that rendered, failed or died, in the order they were started."""
    places = {row["worker_id"]: _place(row) for row in rows(connection, _PLACES)}
    found = {worker: WorkerActivity(worker, place) for worker, place in places.items()}
    batches: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for batch in rows(connection, "select * from batches order by began"):
        batches[batch["worker_id"]][batch["lease_id"]].append(batch)
    for worker_id, leases in batches.items():
        _fill(found[worker_id], leases, clock)
    for record in records:
        name = record.get("worker")
        if not name or name == "driver":  # strikes of earlier versions name none
            continue
        worker = found.setdefault(name, WorkerActivity(name, ""))
        if record["kind"] == "lease" and record["failed"]:
            worker.failures.append((clock.at(record["time"]), sum(1 for _ in from_ranges(record["failed"]))))
        elif record["kind"] == "strike":
            worker.deaths.append((clock.at(record["time"]), str(record["reason"])))
    return sorted(found.values(), key=_by_birth)


_PLACES = """
select worker_id, any_value(node) as node, any_value(gpu) as gpu, any_value(gpu_uuid) as gpu_uuid
from pictures group by worker_id
"""


def _place(row: dict[str, Any]) -> str:
    gpu = row["gpu"] or "CPU"
    return " · ".join(part for part in (row["node"], gpu, (row["gpu_uuid"] or "")[:12]) if part)


def _by_birth(worker: WorkerActivity) -> tuple[str, int, str]:
    run, _, number = worker.worker_id.rpartition("-w")
    return run, int(number) if number.isdigit() else 0, worker.worker_id


def _fill(worker: WorkerActivity, leases: dict[str, list[dict[str, Any]]], clock: WorkClock) -> None:
    busy: list[Span] = []
    for batches in leases.values():
        spans = _spans(batches)
        worker.pictures += sum(batch["pictures"] for batch in batches)
        mapped = [(clock.at(began), clock.at(ended)) for began, ended in spans]
        busy += mapped
        worker.warm += [span for span, batch in zip(mapped, batches, strict=True) if batch["warmup"]]
        worker.leases.append((mapped[0][0], max(ended for _, ended in mapped)))
    worker.busy = merged(busy)
    worker.leases.sort()


def _spans(batches: Sequence[dict[str, Any]]) -> list[Span]:
    """When the batches of one lease ran. Prompts are encoded before a lease's first batch, but with reference images
    before each batch."""
    if batches[0]["has_references"]:
        return [(batch["began"] - batch["text_s"], batch["ended"]) for batch in batches]
    text = sum(batch["text_s"] for batch in batches)
    first = (batches[0]["began"] - text, batches[0]["ended"])
    return [first, *((batch["began"], batch["ended"]) for batch in batches[1:])]


def merged(spans: Iterable[Span], gap: float = 0.0) -> list[Span]:
    """The union of spans, in order; those no further apart than `gap` become one."""
    found: list[Span] = []
    for began, ended in sorted(spans):
        if found and began <= found[-1][1] + gap:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return found
