"""Move finished files from `_staging/` into the tables, and make the tables exact after a crash.

Only the driver does this, and only for files that the commit log names; every step can be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pyarrow.fs as pafs

from jobs.commits import CommitLog, files_of, read_log, withdraw_record
from manifests.schemas import TABLES
from manifests.storage import Location
from workers.settings import TableFile

STAGING = "_staging"
_OBJECT_STORE_THREADS = 16  # a move there is two requests of tens of milliseconds

log = logging.getLogger("renderay.publish")


class Publisher:
    """Publishes staged files of one output folder."""

    def __init__(self, out: Location) -> None:
        self._out = out
        self._pool = None if out.is_local else ThreadPoolExecutor(_OBJECT_STORE_THREADS, "publish")
        for table in TABLES:
            (out / table).make_folder()

    def publish(self, files: Sequence[TableFile]) -> None:
        """Move staged files to their tables. Their record must be durable already."""
        if self._pool is None:
            for file in files:
                self._move(file)
        else:
            list(self._pool.map(self._move, files))

    def _move(self, file: TableFile) -> None:
        (self._out / STAGING / file.name).move_to(published(self._out, file))

    def close(self) -> None:
        """Wait for moves under way."""
        if self._pool is not None:
            self._pool.shutdown()


def published(out: Location, file: TableFile) -> Location:
    """Where a staged file belongs: TABLE/STEM.parquet."""
    return out / file.table / file.name.removeprefix(f"{file.table}-")


def roll_forward(out: Location, commits: CommitLog, now: datetime) -> None:
    """Bring the tables in line with the log: publish what it names, delete what it does not, withdraw what is lost."""
    staged = {info.base_name for info in (out / STAGING).list()}
    present = _present(out)
    named: set[tuple[str, str]] = set()
    publisher = Publisher(out)
    withdrawn = {record["lease"] for record in read_log(out) if record["kind"] == "withdraw"}
    for record in read_log(out):
        if record["kind"] != "lease" or record["lease"] in withdrawn:
            continue
        files = files_of(record)
        lost = [file for file in files if present.get(_key(out, file)) != file.bytes and file.name not in staged]
        if lost:
            log.warning("%s: %s is gone; its rows are rendered again", record["lease"], lost[0].name)
            commits.append([withdraw_record(record, now)])
            continue
        publisher.publish([file for file in files if file.name in staged])
        named.update(_key(out, file) for file in files)
    publisher.close()
    for table, name in sorted(present.keys() - named):
        log.warning("%s/%s is not in the log; deleted", table, name)
        (out / table / name).delete()
    clear_staging(out)


def is_intact(out: Location) -> bool:
    """Whether the tables hold the files that the log names, at their sizes, and no others."""
    withdrawn = {record["lease"] for record in read_log(out) if record["kind"] == "withdraw"}
    named = {
        _key(out, file): file.bytes
        for record in read_log(out)
        if record["kind"] == "lease" and record["lease"] not in withdrawn
        for file in files_of(record)
    }
    return named == _present(out)


def _present(out: Location) -> dict[tuple[str, str], int]:
    """The files in the tables and their sizes; folders that other programs put there are not looked at."""
    return {
        (table, info.base_name): int(info.size)
        for table in TABLES
        for info in (out / table).list()
        if info.type == pafs.FileType.File
    }


def clear_staging(out: Location) -> None:
    """Delete everything staged: what the log names has been published."""
    for info in (out / STAGING).list():
        if info.type == pafs.FileType.File:
            (out / STAGING / info.base_name).delete()


def _key(out: Location, file: TableFile) -> tuple[str, str]:
    return file.table, published(out, file).name
