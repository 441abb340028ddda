"""The files of one lease: complete manifest rows only, whole files only."""

from __future__ import annotations

from collections import defaultdict
from threading import Lock
from typing import Any

from manifests.row import Row
from manifests.storage import Location
from workers.settings import TableFile
from workers.tables import TableWriter

Record = dict[str, Any]


class LeaseOutput:
    """Gathers the records of a lease from several threads and stages them as Parquet.

    A manifest row with `num_images` pictures is written once all of them are there, and not at all if one fails.
    """

    def __init__(self, out: Location, lease_id: str, extra: dict[str, str]) -> None:
        self.done: set[int] = set()
        self.failed: set[int] = set()
        self.pictures = 0
        self._writers = {table: TableWriter(out, table, lease_id, extra) for table in ("images", "steps", "errors")}
        self._partial: dict[int, list[tuple[Record, list[Record]]]] = defaultdict(list)
        self._lock = Lock()

    def picture(self, row: Row, image: Record, steps: list[Record]) -> None:
        """Add one picture's images row and its steps rows."""
        with self._lock:
            if row.ordinal in self.failed:
                return
            parts = self._partial[row.ordinal]
            parts.append((image, steps))
            if len(parts) < row.num_images:
                return
            for part_image, part_steps in sorted(parts, key=lambda part: part[0]["image_index"]):
                self._writers["images"].append(part_image)
                for step in part_steps:
                    self._writers["steps"].append(step)
            self.pictures += len(parts)
            self.done.add(row.ordinal)
            del self._partial[row.ordinal]

    def failure(self, row: Row, record: Record) -> None:
        """Give a row up: one errors row, and none of its pictures."""
        with self._lock:
            if row.ordinal not in self.failed and row.ordinal not in self.done:
                self.failed.add(row.ordinal)
                self._partial.pop(row.ordinal, None)
                self._writers["errors"].append(record)

    def has_failed(self, row: Row) -> bool:
        """Whether the row was given up."""
        return row.ordinal in self.failed

    def close(self) -> tuple[TableFile, ...]:
        """Finish the files that hold rows."""
        if self._partial:
            raise RuntimeError(f"rows {sorted(self._partial)} of the lease are neither whole nor failed")
        return tuple(file for writer in self._writers.values() if (file := writer.close()))

    def discard(self) -> None:
        """Remove what was staged."""
        for writer in self._writers.values():
            writer.discard()
