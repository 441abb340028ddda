"""What a job is doing, and showing it: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobs.ledger import Ledger

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jobs.pool import WorkerPool

_PLAIN_SECONDS = 10.0
_LOADING_SECONDS = 60.0  # between plain lines while no worker is ready: there is nothing new to say


@dataclass(frozen=True)
class WorkerLine:
    """One worker as shown: its short name, what it does, pictures so far, step of steps."""

    name: str
    stage: str
    pictures: int
    step: int
    steps: int
    leases: int


@dataclass(frozen=True)
class Snapshot:
    """The job at one instant. `rate` in pictures a second of this run, `eta` in seconds, None while unknown."""

    rows: int
    done: int
    failed: int
    pictures: int
    rate: float | None
    eta: float | None
    elapsed: float
    workers: tuple[WorkerLine, ...]

    @property
    def ready(self) -> int:
        """How many workers have loaded the model."""
        return sum(worker.stage not in ("starting", "loading") for worker in self.workers)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the heartbeat."""
        return asdict(self)

    def line(self) -> str:
        """All of it in one line."""
        rate = f"{self.rate:.2f} pictures/s" if self.rate else "no rate yet"
        left = f"about {duration(self.eta)} left" if self.eta is not None else "time left unknown"
        return (
            f"{self.done + self.failed}/{self.rows} rows, {self.failed} failed, {rate}, {left}, "
            f"{self.ready}/{len(self.workers)} workers"
        )


@dataclass
class Progress:
    """Where this run began: rows finished and pictures made before it, its start, and the first commit."""

    rows: int
    finished_before: int
    pictures_before: int
    started: float
    first_commit: float | None = None
    finished_then: int = 0
    pictures_then: int = 0


def snapshot(progress: Progress, ledger: Ledger, pool: WorkerPool, now: float) -> Snapshot:
    """Take the job's picture. Rates count from the first commit, so that loading and warm-up do not distort them."""
    finished = ledger.finished(progress.rows)
    if progress.first_commit is None and finished > progress.finished_before:
        progress.first_commit, progress.finished_then, progress.pictures_then = now, finished, ledger.pictures
    rate = eta = None
    if progress.first_commit is not None and now > progress.first_commit and finished > progress.finished_then:
        seconds = now - progress.first_commit
        rate = (ledger.pictures - progress.pictures_then) / seconds
        eta = (progress.rows - finished) * seconds / (finished - progress.finished_then)
    workers = tuple(
        WorkerLine(
            member.worker_id.rsplit("-", 1)[-1],
            member.state.stage if member.stage == "ready" and member.leases else _idle(member.stage),
            member.state.pictures,
            member.state.step,
            member.state.steps,
            len(member.leases),
        )
        for member in pool.members.values()
    )
    failed = ledger.failed.count_below(progress.rows)
    return Snapshot(
        progress.rows, finished - failed, failed, ledger.pictures, rate, eta, now - progress.started, workers
    )


def _idle(stage: str) -> str:
    return {"starting": "loading", "loaded": "loading", "beginning": "loading", "ready": "idle"}.get(stage, stage)


def duration(seconds: float) -> str:
    """Seconds as [days,] hours:minutes:seconds."""
    return str(timedelta(seconds=round(seconds)))


def _warning(text: str) -> str:
    """A warning as commands print it."""
    return f"renderay: warning: {text}"


class Display:
    """Shows nothing; the base of those that do. `seconds` is how often it wants news."""

    seconds = 1.0

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def update(self, state: Snapshot) -> None:
        """Show the job as it is now."""

    def warn(self, text: str) -> None:
        """Tell what the user should know of, in one line."""


class PlainDisplay(Display):
    """What is said, then one line every ten seconds on standard error, for logs and pipes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown: float | None = None

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        self._shown = time.monotonic()

    def update(self, state: Snapshot) -> None:
        if state.ready:
            due = self._shown is None or time.monotonic() - self._shown >= _PLAIN_SECONDS
        else:
            due = time.monotonic() - (self._shown or self._began) >= _LOADING_SECONDS
        if due:
            self.say(state.line())

    def warn(self, text: str) -> None:
        print(_warning(text), file=sys.stderr, flush=True)


class LiveDisplay(Display):
    """A progress bar and one line a worker, redrawn in place."""

    seconds = 0.5

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._task = self._bar.add_task("rows", total=None, note="starting")
        self._live = Live(self._bar, console=Console(stderr=True), refresh_per_second=4, transient=True)

    def __enter__(self) -> Display:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        from rich.text import Text

        self._live.console.print(Text(line), soft_wrap=True)

    def update(self, state: Snapshot) -> None:
        rate = f"{state.rate:.2f} pictures/s" if state.rate else "no rate yet"
        left = f"{duration(state.eta)} left" if state.eta is not None else ""
        note = "  ".join(part for part in (f"{state.failed} failed" if state.failed else "", rate, left) if part)
        self._bar.update(self._task, total=state.rows, completed=state.done + state.failed, note=note)
        self._live.update(self._frame(state))

    def warn(self, text: str) -> None:
        from rich.text import Text

        self._live.console.print(Text(_warning(text)), soft_wrap=True)

    def _frame(self, state: Snapshot) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        shown = state.workers[:16]
        for worker in shown:
            step = f"step {worker.step}/{worker.steps}" if worker.stage == "denoise" else ""
            table.add_row(Text(worker.name, "bold"), worker.stage, f"{worker.pictures} pictures", step)
        if len(state.workers) > len(shown):
            table.add_row("", f"and {len(state.workers) - len(shown)} more")
        return Group(self._bar, table)


def display_for(stream: Any = None) -> Display:
    """The display that suits standard error: live on a terminal, plain lines elsewhere."""
    return LiveDisplay() if (stream or sys.stderr).isatty() else PlainDisplay()
