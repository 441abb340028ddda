"""Two sides of runs compared from their tables: what a picture and a step cost on each, and how sure the ratio is.

    runs ──batches.py──> a row per batch ──groups of like batches──> bootstrap.py ──> Comparison

Warm-up batches are apart. Batches are alike when model, size, steps and batch size agree; where the sides share no such
group, as few of these as possible are given up, the last first, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.results.batches import ROUND, read_batches
from jobs.results.bootstrap import Floats, Ratio, figure, interval, ratio
from jobs.results.comparable import Run, differences
from jobs.results.opened import open_results
from manifests.errors import OutputError

METRICS = ("picture_s", "step_ms")
GROUP = ("model", "width", "height", "steps", "batch_size")  # the first to be given up comes last
_KNOWN_UNKNOWN = "between-run noise unknown"


@dataclass(frozen=True)
class Figure:
    """What one side's runs say about a metric: their median, its 95 % interval, and from how many batches and runs."""

    value: float
    low: float | None
    high: float | None
    batches: int
    runs: int


@dataclass(frozen=True)
class Line:
    """One metric of one group of batches on both sides. `group` holds what all of its batches share."""

    group: dict[str, Any]
    metric: str
    a: Figure
    b: Figure
    ratio: Ratio

    @property
    def verdict(self) -> str | None:
        """Which side is faster, told apart from the noise between runs; None where that noise is unknown."""
        if self.ratio.differs is None:
            return None
        return "no difference shown" if not self.ratio.differs else "b faster" if self.ratio.value > 1 else "a faster"

    @property
    def improvement(self) -> float:
        """How much less b takes, in percent of a."""
        return 100 * (1 - self.b.value / self.a.value)

    @property
    def note(self) -> str:
        """The verdict, or why there is none."""
        return self.verdict or _KNOWN_UNKNOWN

    def as_json(self) -> dict[str, Any]:
        """Plain values; `step_ms` in milliseconds, `picture_s` in seconds."""
        found = {"model": self.group.get("model"), "metric": self.metric, "a": self.a.value, "b": self.b.value}
        found |= {"speedup": self.ratio.value, "low": self.ratio.low, "high": self.ratio.high}
        found |= {"verdict": self.verdict, "note": self.note, "improvement_percent": self.improvement}
        found |= {name: self.group.get(name) for name in GROUP[1:]}
        for side, each in (("a", self.a), ("b", self.b)):
            found |= {f"{side}_low": each.low, f"{side}_high": each.high}
            found |= {f"{side}_batches": each.batches, f"{side}_runs": each.runs}
        return found


@dataclass(frozen=True)
class Side:
    """One side: its runs, a short name, and the backends that ran."""

    name: str
    runs: tuple[Run, ...]

    @property
    def ran(self) -> str:
        """Backends and compilation, as counted: `flash, compiled`."""
        found = {
            f"{attention}, {'compiled' if compiled else 'eager'}"
            for run in self.runs
            for attention, compiled in run.distinct("attention_backend", "compiled")
        }
        return " and ".join(sorted(found))

    def warmup(self) -> tuple[int, float | None]:
        """How many batches warmed up, and their median seconds a picture."""
        found = np.concatenate([run.batches.filter(run.batches["warmup"])["picture_s"].to_numpy() for run in self.runs])
        return len(found), float(np.median(found)) if len(found) else None


@dataclass(frozen=True)
class Comparison:
    """Side a against side b. `paired`: both took turns in one process, so that drift cancels."""

    a: Side
    b: Side
    lines: tuple[Line, ...]
    warnings: tuple[str, ...]
    paired: bool

    def as_json(self) -> list[dict[str, Any]]:
        """One object a line."""
        runs = {"a_runs_at": [run.uri for run in self.a.runs], "b_runs_at": [run.uri for run in self.b.runs]}
        names = {
            "paired": self.paired,
            "a_name": self.a.name,
            "b_name": self.b.name,
            "a_ran": self.a.ran,
            "b_ran": self.b.ran,
        }
        return [line.as_json() | names | runs | {"warnings": list(self.warnings)} for line in self.lines]


def open_run(uri: str) -> Run:
    """A run's batches. OutputError where no job is in the folder, a table cannot be read or all of it is warm-up."""
    results = open_results(uri)
    read = read_batches(results)
    batches = read.filter(read["step_ms"].is_valid())
    if not pc.any(pc.invert(batches["warmup"])).as_py():
        what = "nothing but warm-up batches" if len(batches) else "no times" if len(read) else "no pictures"
        raise OutputError(f"{results.uri}: holds {what}, so there is nothing to compare; render more rows")
    return Run(results.uri, results.job, batches, untimed=len(read) - len(batches))


def compare(a: Side, b: Side) -> Comparison:
    """Compare two sides: one run each, several each, or two configurations of a bench."""
    fields = _shared_fields(a, b)
    rounds = _shared_rounds(a, b)
    keys = sorted(_keys(a, fields) & _keys(b, fields), key=str)
    lines = tuple(
        _line(a, b, dict(zip(fields, key, strict=True)), metric, rounds) for key in keys for metric in METRICS
    )
    return Comparison(a, b, lines, differences(a.runs, b.runs), bool(rounds))


def figure_of(side: Side, metric: str) -> Figure:
    """A side's figure over all of its batches; of one run, the rounds of a bench too, their median."""
    return _figure(_samples(side, {}, metric, rounds=[]))


def _line(a: Side, b: Side, group: dict[str, Any], metric: str, rounds: list[int]) -> Line:
    ours, theirs = (_samples(side, group, metric, rounds) for side in (a, b))
    if rounds:  # a round that one side missed is no pair
        pairs = [pair for pair in zip(ours, theirs, strict=True) if all(pair)]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    else:
        ours, theirs = [run for run in ours if run], [run for run in theirs if run]
    return Line(group, metric, _figure(ours), _figure(theirs), ratio(ours, theirs, bool(rounds)))


def _figure(runs: list[list[Floats]]) -> Figure:
    low, high = interval(runs) or (None, None)
    return Figure(figure(runs), low, high, sum(len(times) for run in runs for times in run), len(runs))


def _samples(side: Side, group: dict[str, Any], metric: str, rounds: Sequence[int]) -> list[list[Floats]]:
    """For each run, or each round of the one run, the times of each worker's batches."""
    found: list[list[Floats]] = []
    for run in side.runs:
        mask = pc.invert(run.batches["warmup"])
        for name, value in group.items():
            mask = pc.and_(mask, pc.equal(run.batches[name], value))
        batches = run.batches.filter(mask)
        turns = [batches.filter(pc.equal(batches[ROUND], number)) for number in rounds] or [batches]
        found += [_by_worker(turn, metric) for turn in turns]
    return found


def _by_worker(batches: pa.Table, metric: str) -> list[Floats]:
    times = batches[metric].to_numpy()
    workers = pc.fill_null(batches["worker_id"], "").combine_chunks().dictionary_encode()
    codes = workers.indices.to_numpy(zero_copy_only=False)
    return [times[codes == code] for code in range(len(workers.dictionary))]


def _shared_rounds(a: Side, b: Side) -> list[int]:
    """The rounds that two configurations of a bench took in turns, in one process; none of anything else."""
    if len(a.runs) != 1 or len(b.runs) != 1:
        return []
    rounds, workers = ([set(side.runs[0].distinct(column)) for side in (a, b)] for column in (ROUND, "worker_id"))
    shared = {number for (number,) in rounds[0] & rounds[1] if number is not None}
    return sorted(shared) if workers[0] & workers[1] else []


def _shared_fields(a: Side, b: Side) -> tuple[str, ...]:
    kept = (fields for count in range(len(GROUP), 0, -1) for fields in combinations(GROUP, count))
    return next((fields for fields in kept if _keys(a, fields) & _keys(b, fields)), ())


def _keys(side: Side, fields: tuple[str, ...]) -> set[tuple[Any, ...]]:
    return {key for run in side.runs for key in run.distinct(*fields)} if fields else {()}
