"""Ids that come twice, found exactly and in constant memory."""

from __future__ import annotations

import sqlite3
import tempfile
from types import TracebackType

_CACHE_KIB = 64 << 10


class DuplicateIndex:
    """Every explicit id seen so far and where, on disk: about 40 bytes an id more than the id itself.

    Use as a context manager: the index lives in a temporary folder (TMPDIR) and goes with it. Positional ids need not
    go in, they cannot repeat.
    """

    def __enter__(self) -> DuplicateIndex:
        self._folder = tempfile.TemporaryDirectory(prefix="renderay-ids-")
        self._database = sqlite3.connect(f"{self._folder.name}/ids.sqlite", isolation_level=None)
        # Nothing here outlives the process, so nothing is done for its safety.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{_CACHE_KIB}"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, file INTEGER, line INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")
        self._cursor = self._database.cursor()
        self._files: dict[str, int] = {}  # a name is kept once, not in every row
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def add(self, id: str, file: str, line: int) -> str | None:
        """Enter an id; None the first time, then "file:line" of the first time."""
        number = self._files.setdefault(file, len(self._files))
        self._cursor.execute("INSERT OR IGNORE INTO ids VALUES (?, ?, ?)", (id, number, line))
        if self._cursor.rowcount:
            return None
        first, first_line = self._cursor.execute("SELECT file, line FROM ids WHERE id = ?", (id,)).fetchone()
        return f"{list(self._files)[first]}:{first_line}"
