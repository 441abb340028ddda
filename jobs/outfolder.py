"""The output folder before a job is in it: may one begin there, and leaving it as it was where that one is refused."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pyarrow.fs as pafs

from manifests.errors import OutputError, one_line
from manifests.schemas import TABLES
from manifests.storage import Location

_FOLDERS = ("_commits", "_staging", "_logs", "_lock")  # a run that died before job.json left them
_FILES = ("job.json", "README.md", "_lock/driver.json", "_lock/driver.lock")
_BYSTANDERS = {"lost+found"}  # besides names that begin with a dot: a fresh volume has it
_SHOWN = 3  # foreign files named in the message
_REASONS = {
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EROFS: "its file system is read-only",
    errno.ENOENT: "no folder can be made there",
    errno.ENOSPC: "no space is left there",
    errno.EDQUOT: "this user's quota is used up",
    errno.ENAMETOOLONG: "the name is too long",
}


def require_folder(out: Location) -> None:
    """OutputError where OUT is a file, lies below one, cannot be read or, if it is still to be made, cannot be made."""
    if not out.is_local:
        return
    there = _nearest(out)
    if not os.path.isdir(there):
        which = "" if there == Path(out.path) else f"{there} "
        raise OutputError(f"{out.uri}: {which}is a file, not a folder; give another --out")
    if there != Path(out.path):
        _require_writable(out, there)
    elif not os.access(there, os.R_OK | os.X_OK, effective_ids=True):
        raise OutputError(f"{out.uri}: cannot be read: this user may not; give another --out")


def require_vacant(out: Location) -> None:
    """Refuse an OUT without job.json that cannot be written, or holds anything but what a dead run left there.

    What lies in a table's folder and is not in the log would be deleted, whoever put it there.
    """
    try:
        found = [info for info in out.list() if not _is_ours(out, info)]
    except OSError as error:
        raise OutputError(f"{out.uri}: cannot be listed: {one_line(error, 300)}; give another --out") from error
    if found:
        names = ", ".join(info.base_name for info in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise OutputError(f"{out.uri}: holds {names}{more}, and no job; give an --out that is new or empty")
    if out.is_local:
        _require_writable(out, _nearest(out))


def _require_writable(out: Location, folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise unwritable(out, PermissionError(errno.EACCES, ""))


def unwritable(out: Location, error: OSError) -> OutputError:
    """What to say where a new job cannot write its first files."""
    known = _REASONS.get(error.errno or 0) if out.is_local else None
    reason = known or one_line(error, 300)
    return OutputError(f"{out.uri}: cannot be written: {reason}; give an --out in a folder where files can be made")


def absent_folders(out: Location) -> list[Path]:
    """OUT and the folders above it that are still to be made, the innermost first; object stores have none."""
    path = Path(out.path)
    return [each for each in (path, *path.parents) if not os.path.lexists(each)] if out.is_local else []


def clear_new_job(out: Location, keep_logs: bool) -> None:
    """Delete what a job that never began has written, its lock excepted. Only the holder of the lock may."""
    with contextlib.suppress(OSError):  # the refusal is what matters
        for name in (*_FOLDERS, *TABLES):
            if name != "_lock" and not (keep_logs and name == "_logs"):
                (out / name).delete_folder()
        for name in _FILES:
            (out / name).delete()


def remove_folders(out: Location, absent: list[Path]) -> None:
    """Once the lock is released, remove its folder and those that were absent before; one with anything in it stays."""
    with contextlib.suppress(OSError):
        if out.is_local:
            for folder in (Path(out.path) / "_lock", *absent):
                folder.rmdir()
        elif not (out / "_lock").list():
            (out / "_lock").delete_folder()


def _nearest(out: Location) -> Path:
    """OUT, or the innermost of the folders above it that is there."""
    path = Path(out.path)
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def _is_ours(out: Location, info: pafs.FileInfo) -> bool:
    name = info.base_name
    if name.startswith((".", "job.json.")) or name in _BYSTANDERS:  # job.json.PID.tmp: half written by a dead run
        return True
    if info.type != pafs.FileType.Directory:
        return False
    return name in _FOLDERS or (name in TABLES and not (out / name).list())
