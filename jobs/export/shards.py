"""WebDataset shards: tar files of KEY.png, KEY.txt (the prompt) and KEY.json (the other columns) per picture.

Plain tar with the naming convention is all that the format is; the standard library writes it to any stream. Owner and
time of the members are fixed: the same pictures give the same bytes.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import ExitStack
from typing import Any

from jobs.export.image_folder import to_json
from jobs.export.target import Target
from jobs.results.pictures import Picture

_BLOCK = 512  # bytes that contents are padded to
_END = tarfile.RECORDSIZE + 2 * _BLOCK  # bytes that the end of a tar file may take


class Shards:
    """Writes `shard-000000.tar` and on, each at most `max_bytes` unless one picture is larger."""

    def __init__(self, target: Target, max_bytes: int) -> None:
        self.count = 0
        self._target = target
        self._max_bytes = max_bytes
        self._open: ExitStack | None = None
        self._written = 0

    def add(self, picture: Picture, name: str) -> None:
        """Write one sample; its key is the name without extension, and without dots, where readers end a key."""
        stem, _, extension = name.rpartition(".")
        key = stem.replace(".", "%2E")
        contents = {
            f"{key}.{extension}": picture.data,
            f"{key}.txt": (picture.record["prompt"] or "").encode(),
            f"{key}.json": to_json(picture.record),
        }
        headers = [tarfile.TarInfo(member) for member in contents]
        size = sum(len(header.tobuf()) + -(-len(contents[header.name]) // _BLOCK) * _BLOCK for header in headers)
        if self._open is None or self._written + size + _END > self._max_bytes:
            self._next()
        for header in headers:
            header.size = len(contents[header.name])
            self._tar.addfile(header, io.BytesIO(contents[header.name]))
        self._written += size

    def _next(self) -> None:
        self._close()
        self._open = ExitStack()
        stream = self._open.enter_context(self._target.stream(f"shard-{self.count:06d}.tar"))
        self._tar = self._open.enter_context(tarfile.open(fileobj=stream, mode="w|"))  # noqa: SIM115 - the stack closes it
        self.count += 1
        self._written = 0

    def _close(self, *error: Any) -> None:
        if self._open is not None:
            stack, self._open = self._open, None
            stack.__exit__(*(error or (None, None, None)))

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *error: Any) -> None:
        self._close(*error)
