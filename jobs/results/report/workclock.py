"""The job's own clock: it runs while a driver runs and stops between runs.

A job that was interrupted at noon and resumed the next day would otherwise be a chart of one long night.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from jobs.commits import Record

_KINDS = ("run", "lease", "strike")


@dataclass(frozen=True)
class Run:
    """One driver run, in seconds since the epoch, and what its clock showed when it began."""

    began: float
    ended: float
    at: float


@dataclass(frozen=True)
class WorkClock:
    """Maps instants (seconds since the epoch) to seconds of work since the job began."""

    runs: tuple[Run, ...]

    @property
    def total(self) -> float:
        """Seconds of work in all runs."""
        return self.runs[-1].at + self.runs[-1].ended - self.runs[-1].began if self.runs else 0.0

    def at(self, instant: float) -> float:
        """What the clock showed then."""
        if not self.runs:
            return 0.0
        index = max(0, bisect_right(self.runs, instant, key=lambda run: run.began) - 1)
        run = self.runs[index]
        return run.at + min(max(instant, run.began), run.ended) - run.began

    def pauses(self) -> list[tuple[float, float]]:
        """Where the clock stood still: what it showed, and for how many seconds."""
        return [(after.at, after.began - before.ended) for before, after in pairwise(self.runs)]


def work_clock(records: Sequence[Record], activity: Sequence[tuple[float, float]]) -> WorkClock:
    """The clock of a job from its log and from when its batches ran (began, ended)."""
    # an end record may be written days later, by a run that had nothing left to render
    times = {kind: [float(record["time"]) for record in records if record["kind"] == kind] for kind in _KINDS}
    starts = sorted(times["run"]) or [min(began for began, _ in activity)] if times["run"] or activity else []
    last = list(starts)
    for time in (*times["lease"], *times["strike"], *(ended for _, ended in activity)) if starts else ():
        k = max(0, bisect_right(starts, time) - 1)
        last[k] = max(last[k], time)
    runs: list[Run] = []
    for start, end in zip(starts, last, strict=True):
        if end > start:  # not of one that ended before it did anything
            runs.append(Run(start, end, runs[-1].at + runs[-1].ended - runs[-1].began if runs else 0.0))
    return WorkClock(tuple(runs))
