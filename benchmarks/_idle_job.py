"""Run one job whose workers render nothing, and print what the driver cost: the child process of driver_rate.py.

A process of its own, so that its memory is the driver's alone. The workers answer leases as real ones do: they stage
one images and one steps file a lease, of the right number of rows, copied from ready bytes, and return their names.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from jobs.run import render
from jobs.spec import make_spec
from manifests.plan import Lease
from manifests.row import Row
from manifests.schemas import table_schema
from manifests.validate import OPTIONAL
from workers.families import FAMILIES
from workers.hardware import describe_hardware
from workers.model import ModelFacts
from workers.settings import Decisions, LeaseResult, TableFile, WorkerFacts, WorkerSettings, WorkerState

FAMILY = "flux.1-dev"
STEPS = 4


@ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=6)
class IdleActor:
    """A worker that renders nothing. Files are not synced, so that the disk's syncs are the driver's alone."""

    def __init__(self, settings: WorkerSettings, secrets: dict[str, str]) -> None:
        self._settings = settings
        self._state = WorkerState("ready")
        self._ready: dict[tuple[str, int], bytes] = {}
        self._staging = os.path.join(settings.out, "_staging")
        os.makedirs(self._staging, exist_ok=True)

    def load(self) -> WorkerFacts:
        """The facts of a model that is never loaded."""
        return WorkerFacts(self._settings.worker_id, _facts(), describe_hardware("cpu"))

    def decide(self, sample: Row | None = None) -> Decisions:
        """One picture a call."""
        return Decisions(1, "sdpa", False, {})

    def begin(self, decisions: Decisions) -> None:
        """Nothing to prepare."""

    def render(self, lease: Lease) -> LeaseResult:
        """Stage two files and name them."""
        began = time.perf_counter()
        rows = lease.rows
        files = (
            self._stage("images", lease.lease_id, len(rows)),
            self._stage("steps", lease.lease_id, len(rows) * STEPS),
        )
        self._state.progress += 1
        done = tuple(sorted(row.ordinal for row in rows))
        seconds = time.perf_counter() - began
        return LeaseResult(lease.lease_id, self._settings.worker_id, done, (), len(rows), seconds, files)

    def state(self) -> WorkerState:
        """How many leases it has answered."""
        return self._state

    def _stage(self, table: str, lease_id: str, rows: int) -> TableFile:
        key = table, rows
        if key not in self._ready:
            self._ready[key] = _null_rows(table, rows, self._settings.extra)
        name, data = f"{table}-{lease_id}.parquet", self._ready[key]
        with open(os.path.join(self._staging, name), "wb") as file:
            file.write(data)
        return TableFile(table, name, rows, len(data))


def _null_rows(table: str, rows: int, extra: dict[str, str]) -> bytes:
    schema = table_schema(table, extra)
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.nulls(rows, field.type) for field in schema], schema=schema), stream)
    return stream.getvalue()


def _facts() -> ModelFacts:
    return ModelFacts(
        model=f"tiny:{FAMILY}",
        revision=None,
        fingerprint="none",
        pipeline="none",
        family=FAMILY,
        dtype="float32",
        defaults=FAMILIES[FAMILY].tiny_defaults,
        size_multiple=16,
        sizes=(),
        parameters=frozenset(),
        columns=OPTIONAL,
        min_images=0,
        max_images=0,
        max_batch=None,
        versions={},
        load_seconds=0.0,
    )


def peak_mb() -> float:
    """The most memory this process has had resident, in MB (getrusage would count its parent's before exec)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    """Run the job, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name, kind in (("manifest", str), ("out", str), ("workers", int), ("lease_seconds", float)):
        parser.add_argument(name, type=kind)
    options = parser.parse_args()
    spec = make_spec(
        manifest=(options.manifest,),
        model=f"tiny:{FAMILY}",
        out=options.out,
        workers=options.workers,
        gpus=0,
        lease_seconds=options.lease_seconds,
    )
    found: dict[str, Any] = {"before_mb": peak_mb()}
    summary = render(spec, actor_class=IdleActor)
    found |= {"done": summary.done, "rendered": summary.rendered, "seconds": summary.seconds, "peak_mb": peak_mb()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
