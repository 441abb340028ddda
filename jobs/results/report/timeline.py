"""The workers' activity as a chart: a lane a worker, and the pictures finished over the same time above it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.results.quantities import duration, rate
from jobs.results.report.activity import Span, WorkerActivity, merged
from jobs.results.report.workclock import WorkClock
from jobs.results.webpage.plot import HEIGHT, WIDTH, Axis, Tick, rectangles, time_axis, value_axis

_LANES = 128
_RECTANGLES = 24_000  # on all lanes together: about 500 kB
_MARKS = 250  # places on a lane that a failure can be marked at
_BARS = 120
_BAR_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True)
class Mark:
    """Something that happened, drawn as a glyph: where, from 0 to 1, and what it was."""

    at: float
    label: str


@dataclass(frozen=True)
class Lane:
    """One worker, drawn."""

    worker: WorkerActivity
    leases: str
    busy: str
    warm: str
    failures: tuple[Mark, ...]
    deaths: tuple[Mark, ...]


@dataclass(frozen=True)
class Timeline:
    """All of it; `lanes_left_out` and `resolution_s` are what the page must say."""

    axis: Axis
    lanes: tuple[Lane, ...]
    lanes_left_out: int
    resolution_s: float
    pauses: tuple[Tick, ...]
    first_picture_s: float | None


def timeline(workers: Sequence[WorkerActivity], clock: WorkClock) -> Timeline:
    """Draw every worker's lane; where there are too many, those that rendered most."""
    total = clock.total or 1.0
    busiest = {worker.worker_id for worker in sorted(workers, key=lambda worker: -worker.pictures)[:_LANES]}
    shown = [worker for worker in workers if worker.worker_id in busiest]
    resolution = total / max(200, min(2000, _RECTANGLES // (2 * max(1, len(shown)))))
    return Timeline(
        axis=time_axis(total),
        lanes=tuple(_lane(worker, total, resolution) for worker in shown),
        lanes_left_out=len(workers) - len(shown),
        resolution_s=resolution,
        pauses=tuple(Tick(at / total, f"stopped for {duration(seconds)}") for at, seconds in clock.pauses()),
        first_picture_s=min((worker.busy[0][0] for worker in workers if worker.busy), default=None),
    )


def _lane(worker: WorkerActivity, total: float, resolution: float) -> Lane:
    leases = merged_leases(worker.leases, resolution)
    return Lane(
        worker,
        leases=_path(leases, total, 1, 8, resolution / 4),
        busy=_path(merged(worker.busy, resolution), total, 2.5, 5),
        warm=_path(merged(worker.warm, resolution), total, 2.5, 5),
        failures=_failures(worker, total),
        deaths=tuple(Mark(time / total, f"died at {duration(time)}: {why}") for time, why in worker.deaths),
    )


def _failures(worker: WorkerActivity, total: float) -> tuple[Mark, ...]:
    places: Counter[int] = Counter()
    for time, count in worker.failures:
        places[round(time / total * _MARKS)] += count
    return tuple(
        Mark(place / _MARKS, f"{count} failed at about {duration(place / _MARKS * total)}")
        for place, count in sorted(places.items())
    )


def merged_leases(spans: Sequence[Span], resolution: float) -> list[Span]:
    """Leases in order, those too short to be seen joined to their neighbour."""
    found: list[Span] = []
    for began, ended in spans:
        if found and ended - found[-1][0] < 4 * resolution:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return found


def _path(spans: Iterable[Span], total: float, top: float, height: float, inset: float = 0.0) -> str:
    unit = WIDTH / total
    return rectangles(
        ((began + inset) * unit, top, max((ended - began - 2 * inset) * unit, 0.6), height) for began, ended in spans
    )


@dataclass(frozen=True)
class Throughput:
    """Pictures finished in every bar of `bar_s` seconds; `y` in `unit`."""

    bar_s: float
    bars: str
    y: Axis
    unit: str
    readout: list[str]


def throughput(ended: Sequence[float], total: float) -> Throughput | None:
    """Count pictures by when their pixels were ready, in seconds on the work clock; None without pictures."""
    if not ended or total <= 0:
        return None
    bar = next((seconds for seconds in _BAR_SECONDS if seconds * _BARS >= total), total / _BARS)
    edges = np.append(np.arange(0, total, bar), total)
    if len(edges) > 2 and edges[-1] - edges[-2] < bar / 2:  # a sliver would have a wild rate
        edges = np.delete(edges, -2)
    counts, _ = np.histogram(ended, edges)
    per_second = counts / np.diff(edges)
    _, unit = rate(float(per_second.max()))
    scale = {"pictures/s": 1, "pictures/min": 60, "pictures/h": 3600, "pictures/day": 86400}[unit]
    y = value_axis(0, float(per_second.max()) * scale, about=3)
    boxes, readout = [], []
    for k, value in enumerate(per_second * scale):
        left, right = edges[k] / total * WIDTH, edges[k + 1] / total * WIDTH
        top = y.y(float(value))
        if counts[k]:
            boxes.append((left, top, right - left, HEIGHT - top))
        noun = "picture" if counts[k] == 1 else "pictures"
        span = f"{duration(edges[k])} to {duration(edges[k + 1])}"
        readout.append(f"{span}: {counts[k]:,} {noun}, {value:,.1f} {unit}")
    return Throughput(bar, rectangles(boxes), y, unit, readout)
