"""The commit log: the only truth about what is done.

    OUT/_commits/RUN-000000.jsonl     one JSON record a line, segments in the order of their names

A record is written and made durable before any file it names is published. Locally a run appends to one segment
(one fsync for all records of a group); an object store, which cannot append, gets one object a group. A line torn by a
crash was never acknowledged: it is ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import FileIO
from typing import Any

from manifests.storage import Location
from workers.settings import LeaseResult, TableFile

FOLDER = "_commits"
_CHUNK_BYTES = 1 << 20
Record = dict[str, Any]


def new_run_id(now: datetime, nonce: str) -> str:
    """The id of one driver run; ids sort by time, and the nonce keeps two runs of one second apart."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{nonce}"


def read_log(out: Location) -> Iterator[Record]:
    """All records, oldest first, streamed: a segment may be hundreds of megabytes."""
    for info in (out / FOLDER).list():
        if not info.base_name.endswith(".jsonl"):
            continue
        for line in _lines(out / FOLDER / info.base_name):
            try:
                record = json.loads(line) if line else None
            except ValueError:
                continue  # torn by a crash
            if isinstance(record, dict) and isinstance(record.get("kind"), str):
                yield record


def _lines(segment: Location) -> Iterator[bytes]:
    rest = b""
    with segment.fs.open_input_stream(segment.path, compression=None) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    yield rest


class CommitLog:
    """Appends records for one run."""

    def __init__(self, out: Location, run_id: str) -> None:
        self._folder = out / FOLDER
        self._run_id = run_id
        self._sequence = 0
        self._file: FileIO | None = None

    def append(self, records: Sequence[Record]) -> None:
        """Make a group of records durable, with one fsync or one object."""
        if not records:
            return
        data = b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records)
        if self._folder.is_local:
            self._append_local(data)
        else:
            (self._folder / f"{self._run_id}-{self._sequence:06d}.jsonl").write_bytes(data)
            self._sequence += 1

    def _append_local(self, data: bytes) -> None:
        if self._file is None:
            self._folder.make_folder()
            path = (self._folder / f"{self._run_id}-000000.jsonl").path
            self._file = FileIO(path, "ab")
            _sync_folder(self._folder.path)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the segment."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lease_record(result: LeaseResult, now: datetime) -> Record:
    """The record of a finished lease; once it is durable, its rows are done."""
    return {
        "kind": "lease",
        "lease": result.lease_id,
        "worker": result.worker_id,
        "time": now.timestamp(),
        "seconds": round(result.seconds, 3),
        "pictures": result.pictures,
        "done": to_ranges(result.done),
        "failed": to_ranges(result.failed),
        "files": [[file.table, file.name, file.rows, file.bytes] for file in result.files],
    }


def files_of(record: Record) -> list[TableFile]:
    """The files that a lease record names."""
    return [TableFile(*values) for values in record["files"]]


def strike_record(ordinals: Iterable[int], reason: str, now: datetime, worker_id: str = "") -> Record:
    """These rows were being rendered when their worker died."""
    rows = to_ranges(sorted(ordinals))
    return {"kind": "strike", "rows": rows, "reason": reason, "time": now.timestamp(), "worker": worker_id}


def run_record(run_id: str, rows: int, now: datetime, **who: Any) -> Record:
    """A driver began; `rows` is how many manifest rows the job takes."""
    return {"kind": "run", "run": run_id, "rows": rows, "time": now.timestamp(), **who}


def end_record(rows: int, now: datetime) -> Record:
    """The first `rows` rows of the manifest are all done or failed, and published."""
    return {"kind": "end", "rows": rows, "time": now.timestamp()}


def withdraw_record(lease: Record, now: datetime) -> Record:
    """A lease's published files are gone: its rows are to be rendered again."""
    kept = {name: lease[name] for name in ("lease", "done", "failed", "pictures")}
    return {"kind": "withdraw", **kept, "time": now.timestamp()}


def to_ranges(ordinals: Sequence[int]) -> list[int | list[int]]:
    """Sorted integers as single numbers and [first, last] pairs."""
    found: list[int | list[int]] = []
    start = previous = None
    for value in (*ordinals, None):
        if previous is not None and value == previous + 1:
            previous = value
            continue
        if start is not None and previous is not None:
            found.append(start if start == previous else [start, previous])
        start = previous = value
    return found


def from_ranges(ranges: Iterable[int | list[int]]) -> Iterator[int]:
    """The integers that `to_ranges` was given."""
    for entry in ranges:
        if isinstance(entry, int):
            yield entry
        else:
            yield from range(entry[0], entry[1] + 1)
