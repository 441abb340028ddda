"""Failed rows grouped by cause: alike but for the numbers in their messages is alike."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

from jobs.results.report.database import Connection, rows

_CAUSES = 50
_ROWS = 20

# numbers, addresses and hashes are what tells two messages of one cause apart
_VARIES = r"\b(0x)?[0-9a-f]{8,}\b|[0-9]+([.,][0-9]+)*"


@dataclass(frozen=True)
class FailedRow:
    """One manifest row: where it stands, and its own message."""

    place: str
    id: str | None
    message: str


@dataclass(frozen=True)
class Cause:
    """Rows that failed alike; `message` and `traceback` are those of the first."""

    stage: str
    error_type: str
    field: str | None
    message: str
    traceback: str | None
    count: int
    attempts: int
    rows: tuple[FailedRow, ...]


@dataclass(frozen=True)
class Failures:
    """All causes that are shown, the most frequent first, and what is left out."""

    total: int
    causes: tuple[Cause, ...]
    causes_left_out: int


def failures(connection: Connection) -> Failures:
    """Group the errors table."""
    found = rows(
        connection,
        f"""
        with e as (
            select *, regexp_replace(message, '{_VARIES}', '#', 'g') as pattern,
                row_number() over (partition by stage, error_type, field, pattern order by ordinal) as rank
            from errors
        )
        select stage, error_type, field, count(*) as count, max(attempts) as attempts,
            arg_min(message, ordinal) as message, arg_min(traceback, ordinal) as traceback,
            list({{'file': source_file, 'line': source_line, 'id': id, 'ordinal': ordinal, 'message': message}}
                order by ordinal) filter (where rank <= {_ROWS}) as rows
        from e group by stage, error_type, field, pattern order by count desc, min(ordinal)
        """,
    )
    causes = tuple(_cause(row) for row in found[:_CAUSES])
    return Failures(sum(row["count"] for row in found), causes, max(0, len(found) - _CAUSES))


def _cause(row: dict[str, Any]) -> Cause:
    listed = tuple(FailedRow(_place(failed), failed["id"], failed["message"]) for failed in row.pop("rows"))
    return Cause(**row, rows=listed)


def _place(failed: dict[str, Any]) -> str:
    if failed["file"] is None:
        return f"row {failed['ordinal']}"
    return f"{posixpath.basename(failed['file'])}:{failed['line']}"
