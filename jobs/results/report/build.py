"""Gather everything the report tells: one `Report` from an output folder, before any of it is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.commits import read_log
from jobs.jobfile import JobFile
from jobs.results.opened import Results
from jobs.results.report.activity import WorkerActivity, workers
from jobs.results.report.causes import Failures, failures
from jobs.results.report.database import open_database, rows
from jobs.results.report.gallery import Column, Picture, columns, pictures
from jobs.results.report.headline import Shape, Totals, shapes, totals
from jobs.results.report.sample import Sample, draw
from jobs.results.report.slowest import SlowPicture, slowest
from jobs.results.report.stages import Stage, stages
from jobs.results.report.step_times import StepChart, step_charts
from jobs.results.report.thumbnails import read_pictures
from jobs.results.report.timeline import Throughput, Timeline, throughput, timeline
from jobs.results.report.workclock import WorkClock, work_clock
from jobs.status import Status, read_status


@dataclass(frozen=True)
class Report:
    """What the page and the terminal summary are made of."""

    made_at: datetime
    uri: str
    job: JobFile
    status: Status
    clock: WorkClock
    totals: Totals
    shapes: list[Shape]
    shapes_left_out: int
    stages: list[Stage]
    steps: list[StepChart]
    workers: list[WorkerActivity]
    timeline: Timeline
    throughput: Throughput | None
    window_s: float  # from the first picture's beginning to the last one's end, on the work clock
    slowest: list[SlowPicture]
    failures: Failures
    sample: Sample
    pictures: list[Picture]
    columns: list[Column]

    @property
    def busy_s(self) -> float:
        """Seconds of all workers with a picture under way."""
        return sum(worker.busy_s for worker in self.workers)

    @property
    def idle_s(self) -> float:
        """Seconds of all workers between their first and last picture with none under way."""
        return sum(worker.idle_s for worker in self.workers)

    @property
    def per_second(self) -> float | None:
        """Pictures a second while pictures were made."""
        return self.totals.pictures / self.window_s if self.window_s else None


def build(results: Results, limit: int, now: datetime | None = None) -> Report:
    """Read a job's folder; at most `limit` pictures and the slowest are drawn for the gallery.

    Works on a job that runs: files published later are not looked at.
    """
    database = open_database(results)
    status = read_status(results.uri)
    records = list(read_log(results.location))
    batches = rows(database, "select began, ended, pictures from batches order by ended")
    clock = work_clock(records, [(batch["began"], batch["ended"]) for batch in batches])
    active = workers(database, records, clock)
    ended = [clock.at(batch["ended"]) for batch in batches for _ in range(batch["pictures"])]
    began = min((worker.span[0] for worker in active if worker.busy), default=0.0)
    slow = slowest(database)
    sizes = {info.base_name.removesuffix(".parquet"): int(info.size) for info in (results.location / "images").list()}
    sample = draw(database, sizes, limit, [picture.key for picture in slow])
    by_shape, shapes_left_out = shapes(database)
    cards = pictures(database, read_pictures(results, sample.by_lease), results.job.extra)
    return Report(
        made_at=now or datetime.now(UTC),
        uri=results.uri,
        job=results.job,
        status=status,
        clock=clock,
        totals=totals(database),
        shapes=by_shape,
        shapes_left_out=shapes_left_out,
        stages=stages(database, sum(worker.idle_s for worker in active)),
        steps=step_charts(database, by_shape),
        workers=active,
        timeline=timeline(active, clock),
        throughput=throughput(ended, clock.total),
        window_s=(ended[-1] - began) if ended else 0.0,
        slowest=slow,
        failures=failures(database),
        sample=sample,
        pictures=cards,
        columns=columns(cards, results.job.extra),
    )
