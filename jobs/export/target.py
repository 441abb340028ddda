"""The folder of an export, local or remote: whose it is, and writing into it.

`export.json` in it says of which job and with which options, so that the same export goes on in it and nothing else
is mixed in or overwritten.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.fs as pafs

from manifests.errors import JobStopped, OutputError, OutputMismatch
from manifests.storage import Location, locate

MARKER = "export.json"
_PARTIAL = ".partial"


class Target:
    """A folder that belongs to one export. Local files appear whole: they are written elsewhere and renamed.

    OutputError where the folder is used by something else or cannot be written; JobStopped where writing fails later.
    """

    def __init__(self, uri: str, options: dict[str, Any]) -> None:
        self.location: Location = locate(uri)
        self._options = options
        self._serial = itertools.count()

    @property
    def uri(self) -> str:
        """The folder, made absolute."""
        return self.location.uri

    def claim(self) -> None:
        """Take the folder: it is missing, empty, or an earlier state of the same export."""
        to = self.location
        try:
            if to.info().type == pafs.FileType.File:
                raise OutputError(f"{to.uri}: is a file; give a folder as --to")
            there = {info.base_name for info in to.list()}
            if MARKER in there:
                self._require_same(json.loads((to / MARKER).read_bytes()))
            elif there - {_PARTIAL}:
                raise OutputError(f"{to.uri}: is not empty and no export; give an empty or new folder as --to")
            self._clear_partial()
            (to / MARKER).write_bytes(json.dumps(self._options, indent=2, ensure_ascii=False).encode() + b"\n")
        except (OSError, ValueError, pa.ArrowException) as error:
            raise OutputError(f"{to.uri}: cannot be written: {_reason(error)}; give another --to") from error

    def _require_same(self, old: Any) -> None:
        for name, value in self._options.items():
            was = old.get(name) if isinstance(old, dict) else None
            if was != value:
                raise OutputMismatch(
                    f"{self.uri}: holds an export whose {name} is {was!r}, now {value!r}; give another --to"
                )

    def write(self, name: str, data: bytes) -> bool:
        """Write a file of this content; False where it was there already. Threads may write at once."""
        path = self.location / name
        if path.is_local and _holds(path.path, data):
            return False
        with self.stream(name) as stream:
            stream.write(data)
        return True

    @contextlib.contextmanager
    def stream(self, name: str) -> Iterator[BinaryIO]:
        """A file to write, in its place once the block ends without an error."""
        path = self.location / name
        try:
            if not path.is_local:
                with path.fs.open_output_stream(path.path, compression=None) as remote:
                    yield cast(BinaryIO, remote)
                return
            partial = (self.location / _PARTIAL / str(next(self._serial))).path
            for folder in (os.path.dirname(partial), os.path.dirname(path.path)):
                os.makedirs(folder, exist_ok=True)
            try:
                with open(partial, "wb") as file:
                    yield file
                os.replace(partial, path.path)
            finally:
                with contextlib.suppress(FileNotFoundError):  # there no more, unless something failed
                    os.unlink(partial)
        except OSError as error:
            raise JobStopped(
                f"export stopped: {path.uri}: {_reason(error)}; mend that, and the same command goes on"
            ) from error

    def clear(self, folder: str) -> None:
        """Delete a folder and all that is in it."""
        (self.location / folder).delete_folder()

    def close(self) -> None:
        """Remove what was only for the way."""
        self._clear_partial()

    def _clear_partial(self) -> None:
        if self.location.is_local:
            shutil.rmtree((self.location / _PARTIAL).path, ignore_errors=True)


def _holds(path: str, data: bytes) -> bool:
    try:
        if os.path.getsize(path) != len(data):
            return False
        with open(path, "rb") as file:
            return file.read() == data
    except OSError:
        return False


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())[:300]
