"""Errors rows that no worker can write: of manifest rows that cannot be read, and of rows that bring workers down."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.planner import GivenUp
from manifests.row import BadRow
from manifests.storage import Location
from workers.records import bad_row_record
from workers.settings import LeaseResult
from workers.tables import TableWriter

ROWS_PER_FILE = 1000


def write_error_rows(
    out: Location, lease_id: str, rows: Sequence[BadRow | GivenUp], extra: Mapping[str, str]
) -> LeaseResult:
    """Write one staged file of the errors table; what is to be committed, under an id of its own."""
    writer = TableWriter(out, "errors", lease_id, extra)
    ordinals = []
    for row in rows:
        writer.append(bad_row_record(row) if isinstance(row, BadRow) else _given_up_record(row))
        ordinals.append(row.ordinal if isinstance(row, BadRow) else row.row.ordinal)
    file = writer.close()
    assert file is not None
    return LeaseResult(lease_id, "driver", (), tuple(sorted(ordinals)), 0, 0.0, (file,))


def _given_up_record(given_up: GivenUp) -> dict[str, Any]:
    row = given_up.row
    return {
        "id": row.id,
        "ordinal": row.ordinal,
        "source_file": row.source_file,
        "source_line": row.source_line,
        "field": None,
        "stage": "crash",
        "error_type": "WorkerDied",
        "message": f"brought down {given_up.strikes} workers, the last so: {given_up.reason}",
        "traceback": None,
        "attempts": given_up.strikes,
        "worker_id": None,
        "node": socket.gethostname(),
    }
