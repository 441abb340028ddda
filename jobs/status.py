"""What a job has done, from its output folder alone: works while it runs and after it died."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.job import read_ledger
from jobs.jobfile import read_job_file
from jobs.lock import is_alive, read_owner
from jobs.progress import duration
from manifests.errors import OutputError
from manifests.storage import locate


@dataclass(frozen=True)
class Status:
    """A job's state. `rate` in rows a second of the running driver, `eta` in seconds; both None unless it runs."""

    out: str
    state: str  # running, complete, interrupted
    model: str
    rows: int
    done: int
    failed: int
    left: int
    pictures: int
    rate: float | None
    eta: float | None
    driver: str | None
    heard: str | None  # UTC time of the last sign of life of an interrupted job's driver
    workers: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(self.__dict__)

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.out}: {self.state}",
            f"model     {self.model}",
            f"rows      {self.done} done, {self.failed} failed, {self.left} left of {self.rows}",
            f"pictures  {self.pictures}",
        ]
        if self.rate:
            lines.append(f"rate      {self.rate:.2f} pictures/s")
        if self.eta is not None:
            lines.append(f"left      about {duration(self.eta)}")
        if self.driver:
            lines.append(f"driver    {self.driver}")
        for worker in self.workers:
            step = f" step {worker['step']}/{worker['steps']}" if worker["stage"] == "denoise" else ""
            lines.append(f"worker    {worker['name']} {worker['stage']}{step}, {worker['pictures']} pictures")
        if self.failed:
            lines.append(f"why       renderay report {self.out}")
        if self.heard:
            lines.append(f"stopped   its driver was heard of last at {self.heard}")
        if self.state == "interrupted":
            lines.append("the same render command resumes it")
        return "\n".join(lines)


def read_status(uri: str) -> Status:
    """The state of the job in an output folder. OutputError where there is none."""
    out = locate(uri)
    file = read_job_file(out)
    ledger = read_ledger(out)
    owner = read_owner(out)
    if file is None and owner is None:
        raise OutputError(f"{out.uri}: no job in it; give the --out of a render that has begun")
    rows = ledger.rows or (file.rows if file else 0)
    complete = file is not None and ledger.ended_rows >= rows
    alive = owner is not None and not complete and is_alive(owner[0], datetime.now(UTC))
    live = owner[1] if owner and alive else {}
    state = "complete" if complete else "running" if alive else "interrupted"
    done, failed = ledger.done.count_below(rows), ledger.failed.count_below(rows)
    return Status(
        out=out.uri,
        state=state,
        model=str(file.spec["model"]) if file else "still loading",
        rows=rows,
        done=done,
        failed=failed,
        left=rows - done - failed,
        pictures=ledger.pictures,
        rate=live.get("rate"),
        eta=live.get("eta"),
        driver=str(owner[0]) if owner and alive else None,
        heard=_instant(owner[0].beat) if owner and state == "interrupted" else None,
        workers=list(live.get("workers", [])),
    )


def _instant(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
