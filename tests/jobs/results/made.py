"""Output folders made up row by row, with the job's own writers: no model, no Ray, and every number known."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import Image

from jobs.commits import CommitLog, Record, end_record, lease_record, run_record
from jobs.jobfile import new_job_file
from jobs.publish import Publisher
from jobs.spec import make_spec
from manifests.storage import Location
from manifests.survey import Survey
from workers.settings import LeaseResult
from workers.tables import TableWriter

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """An instant, in seconds since the job began."""
    return BEGIN + timedelta(seconds=seconds)


def png(width: int = 32, height: int = 32) -> bytes:
    """A plain picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def picture(ordinal: int, began: float = 0.0, **changes: Any) -> dict[str, Any]:
    """An images row: a batch of its own that takes 1 s text, 2 s prepare, 5 s denoise, 3 s decode."""
    row = {
        "id": f"r{ordinal}", "ordinal": ordinal, "image_index": 0, "format": "png", "width": 32, "height": 32,
        "prompt": f"picture {ordinal}", "seed": ordinal, "steps": 5, "model": "made", "attention_backend": "sdpa-flash",
        "compiled": False, "exact": True, "batch_size": 1, "worker_batch": ordinal, "warmup": False, "attempt": 1,
        "lease_id": f"made-{ordinal:06d}", "worker_id": "made-w0", "node": "a", "peak_gib": 1.0,
        "started_at": at(began), "queue_ms": 4.0, "text_encode_ms": 1000.0, "prepare_ms": 2000.0,
        "denoise_ms": 5000.0, "decode_ms": 3000.0, "image_encode_ms": 7.0, "reference_images": [],
    }  # fmt: skip
    row |= changes
    row.setdefault("batch_id", f"{row['lease_id']}-b{row['worker_batch']}")
    row.setdefault("image", {"bytes": png(row["width"], row["height"]), "path": f"r{ordinal}-0.png"})
    return row


def error(ordinal: int, message: str, **changes: Any) -> dict[str, Any]:
    """An errors row of a manifest row that could not be read."""
    return {
        "id": f"r{ordinal}", "ordinal": ordinal, "source_file": "/data/m.jsonl", "source_line": ordinal + 1,
        "field": None, "stage": "manifest", "error_type": "BadRow", "message": message, "attempts": 0, "node": "a",
    } | changes  # fmt: skip


def make_out(
    out: Location,
    pictures: Sequence[dict[str, Any]] = (),
    errors: Sequence[dict[str, Any]] = (),
    records: Sequence[Record] = (),
    rows: int | None = None,
    extra: Mapping[str, str] | None = None,
    with_steps: bool = True,
) -> None:
    """Write a job's folder: a file a lease, a log that ends where `rows` (all by default) are done or failed.

    `records` are put into the log as well; a run record among them takes the place of the usual one.
    """
    extra = dict(extra or {})
    spec = make_spec(manifest=("m.jsonl",), model="tiny:flux.1-dev", out=out.uri)
    ended = len({row["ordinal"] for row in (*pictures, *errors)})
    total = ended if rows is None else rows
    new_job_file(spec, [{"uri": "/data/m.jsonl", "bytes": 1, "blake2b": "0"}], Survey(total, extra), BEGIN).write(out)
    leases: dict[str, list[dict[str, Any]]] = {}
    for row in pictures:
        leases.setdefault(row["lease_id"], []).append(row)
    log = CommitLog(out, "made")
    if not any(record["kind"] == "run" for record in records):
        log.append([run_record("made", total, BEGIN)])
    log.append(records)
    for lease_id, mine in leases.items():
        tables = {"images": mine, "steps": [step for row in mine for step in _steps(row)] if with_steps else []}
        done = tuple(sorted({row["ordinal"] for row in mine}))
        _commit(out, log, extra, LeaseResult(lease_id, mine[0]["worker_id"], done, (), len(mine), 1.0, ()), tables)
    if errors:
        failed = tuple(sorted(row["ordinal"] for row in errors))
        _commit(out, log, extra, LeaseResult("made-e0", "driver", (), failed, 0, 0.0, ()), {"errors": errors})
    if ended == total:
        log.append([end_record(total, at(3600 * 24))])  # the clock must not run until then
    log.close()


def _commit(
    out: Location, log: CommitLog, extra: dict[str, str], result: LeaseResult, tables: Mapping[str, Sequence[Any]]
) -> None:
    files = []
    for table, table_rows in tables.items():
        writer = TableWriter(out, table, result.lease_id, extra)
        for row in table_rows:
            writer.append(row)
        if file := writer.close():
            files.append(file)
    last = max((row["started_at"] for row in tables.get("images", ())), default=BEGIN)
    record = lease_record(result, last) | {"files": [[f.table, f.name, f.rows, f.bytes] for f in files]}
    log.append([record])
    Publisher(out).publish(files)


def _steps(row: dict[str, Any]) -> list[dict[str, Any]]:
    shared = ("id", "image_index", "batch_id", "batch_size", "warmup", "width", "height", "started_at", "worker_id")
    each = row["denoise_ms"] / row["steps"]
    return [{name: row[name] for name in shared} | {"step": k, "step_ms": each} for k in range(row["steps"])]
