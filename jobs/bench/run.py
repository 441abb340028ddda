"""One bench from beginning to end: model by model, every configuration once to warm up, then rounds in turns.

A configuration that fails is out and named; the others go on. Every round is committed when it ends.
"""

from __future__ import annotations

import os
import secrets as token
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.bench.plan import ALL, BenchPlan, Configuration, candidates, folder_of, turn_order
from jobs.bench.process import BenchProcess, ProcessDied
from jobs.bench.side import BenchSide, write_rows
from jobs.commits import new_run_id
from jobs.results.bench_file import BenchEntry, BenchFile
from manifests.errors import AttentionError, OutputError, RenderayError, one_line
from manifests.row import Row
from manifests.storage import Location, locate
from workers.reference import parse_model
from workers.settings import WorkerFacts, WorkerSettings

if TYPE_CHECKING:
    from workers.turns import TurnResult, TurnWorker

Say = Callable[[str], None]


def run_bench(plan: BenchPlan, out: str, say: Say, make_worker: Callable[[], TurnWorker] | None = None) -> BenchFile:
    """Measure every configuration of a plan into `out`; `say` gets a line at every turn.

    `make_worker` replaces the worker that the process holds (tests pass one that dies).

    Raises AttentionError where a backend asked for by name cannot be used, before any model is loaded; OutputError
    where `out` holds something; ModelError where a model's name means nothing.
    """
    for model in plan.models:
        parse_model(model)
    location = locate(out)
    if any(info.base_name != "_logs" for info in location.list()):
        raise OutputError(f"{location.uri}: is not empty; a bench needs a folder of its own, give another --out")
    location.make_folder()
    file = BenchFile(datetime.now(UTC).isoformat(timespec="seconds"), plan.steps, plan.rounds, [])
    bench = _Bench(plan, location, file, say, new_run_id(datetime.now(UTC), token.token_hex(2)), make_worker)
    bench.run()
    return file


@dataclass
class _Bench:
    plan: BenchPlan
    out: Location
    file: BenchFile
    say: Say
    run_id: str
    make_worker: Callable[[], TurnWorker] | None
    device: str = ""

    def run(self) -> None:
        with self._process() as process:
            self._settle(process)
        self.file.entries = [_entry(each) for model in self.plan.models for each in self.plan.configurations(model)]
        self.file.write(self.out)
        for model in self.plan.models:
            entries = [entry for entry in self.file.entries if entry.model == model]
            turns = _ModelTurns(self, model, entries)
            while turns.unfinished():
                with self._process() as process:
                    try:
                        turns.go_on(process)
                    except ProcessDied:
                        turns.died()
            turns.end()
            self.file.write(self.out)

    def _process(self) -> BenchProcess:
        return BenchProcess(self.out / "_logs" / "bench.log", self.make_worker)

    def _settle(self, process: BenchProcess) -> None:
        """Which backends: those asked for by name must be usable, `all` takes those that are."""
        found: list[str] = []
        for name in self.plan.attentions:
            if name != ALL:
                self.device = process.call("usable", name)
                found.append(name)
                continue
            for candidate in candidates():
                try:
                    self.device = process.call("usable", candidate)
                    found.append(candidate)
                except AttentionError as error:
                    self.say(f"left out: {error}")
        self.plan = self.plan.narrowed(list(dict.fromkeys(found)))


@dataclass
class _ModelTurns:
    """The turns of one model's configurations, in as many processes as it takes."""

    bench: _Bench
    model: str
    entries: list[BenchEntry]
    current: BenchEntry | None = None
    processes: int = 0
    _round: int = 0
    _timed: set[str] = field(default_factory=set)  # those whose turn in this round was no warm-up
    _sides: dict[str, BenchSide] = field(default_factory=dict)

    def unfinished(self) -> list[BenchEntry]:
        """The configurations that still have turns to take."""
        return [] if self._round > self.bench.plan.rounds else [each for each in self.entries if not each.failure]

    def go_on(self, process: BenchProcess) -> None:
        """Load the model, then take the turns that are left. ProcessDied where a turn kills the process."""
        self.processes += 1
        self.current = None
        self.bench.say(f"{self.model}: loading")
        base = _settings(self.model, self.bench)
        try:
            facts: WorkerFacts = process.call("load", base)
        except RenderayError as error:
            for entry in self.unfinished():
                self.fail(entry, str(error))
            return
        rows = self._prepare(process, base, facts)
        while entries := {entry.name: entry for entry in self.unfinished()}:
            order = turn_order(list(entries), self._round)
            self._timed.clear()
            # a broken process ends the round; those that had no turn in it miss this one
            broken = any(not self._take(process, entries[name], rows[name][self._round]) for name in order)
            for name, entry in entries.items():
                if name in self._sides:
                    self._sides[name].commit(process.call("written", name))
                    entry.measured = entry.measured or name in self._timed
                if entry.failure:
                    process.call("drop", name)
            self._round += 1
            self.bench.file.write(self.bench.out)
            if broken:
                return

    def _prepare(self, process: BenchProcess, base: WorkerSettings, facts: WorkerFacts) -> dict[str, list[list[Row]]]:
        rows: dict[str, list[list[Row]]] = {}
        plan, folder = self.bench.plan, self.bench.out / folder_of(self.model)
        files = {size: write_rows(folder, plan.rounds, size, facts.model.min_images) for size in plan.batch_sizes}
        configurations = {each.name: each for each in plan.configurations(self.model)}
        for entry in self.unfinished():
            self.current = entry
            each: Configuration = configurations[entry.name]
            try:
                if entry.name not in self._sides:
                    side = BenchSide(each, plan, self.bench.out, self.bench.run_id, files[each.batch_size])
                    self._sides[entry.name] = side
                side = self._sides[entry.name]
                rows[entry.name] = side.rows(facts)
                decisions = process.call("prepare", entry.name, side.settings(base), rows[entry.name][0][0])
                side.adopt(facts, decisions)
            except ProcessDied:
                raise
            except Exception as error:  # what it is about a configuration that does not work is for its own line
                self.fail(entry, one_line(error, 300))
        return rows

    def _take(self, process: BenchProcess, entry: BenchEntry, rows: list[Row]) -> bool:
        """One turn; False where the process must be replaced."""
        self.current = entry
        lease = f"{self.bench.run_id}-{self.processes}-{self._round:03d}"
        result: TurnResult = process.call("take", entry.name, lease, rows)
        if result.error:
            self.fail(entry, result.error)
            return not result.broken
        assert result.step_s is not None and result.picture_s is not None
        if not result.warmup:
            self._timed.add(entry.name)
        which = "warm-up" if result.warmup else f"round {self._round} of {self.bench.plan.rounds}"
        self.bench.say(
            f"{self.model}: {which}: {entry.name} (ran {result.backend}): "
            f"{result.step_s:.4f} s/step, {result.picture_s:.3f} s a picture; the turn took {result.seconds:.1f} s"
        )
        return True

    def died(self) -> None:
        """The process died in the turn of one configuration, or, before any turn, because of the model."""
        for entry in [self.current] if self.current else self.unfinished():
            self.fail(entry, "the process died; see _logs/bench.log")
        self._round += 1

    def fail(self, entry: BenchEntry, reason: str) -> None:
        """Take a configuration out."""
        entry.failure = reason
        self.bench.say(f"{self.model}: {entry.name}: failed: {reason}")
        self.bench.file.write(self.bench.out)

    def end(self) -> None:
        """Close every folder."""
        for entry in self.entries:
            if entry.name in self._sides:
                self._sides[entry.name].end()


def _entry(each: Configuration) -> BenchEntry:
    size = f"{each.size[0]}x{each.size[1]}" if each.size else "the model's size"
    return BenchEntry(
        each.model, each.name, each.folder, each.attention, each.compile, f"{size}, batch {each.batch_size}"
    )


def _settings(model: str, bench: _Bench) -> WorkerSettings:
    plan, on_gpu = bench.plan, bench.device == "cuda"
    return WorkerSettings(
        worker_id=f"{bench.run_id}-w0",
        model=model,
        device=bench.device,
        dtype=plan.dtype if plan.dtype != "auto" else "bfloat16" if on_gpu else "float32",
        attention="",
        compile=False,
        batch_size=1,
        seed=0,
        format=plan.format,
        out=bench.out.uri,
        extra={},
        threads=1 if on_gpu else len(os.sched_getaffinity(0)),
    )
