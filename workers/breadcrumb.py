"""What a worker was rendering when it died: a small file, rewritten before every batch.

A process that is killed cannot say which row killed it, so it says beforehand. Only the driver reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from manifests.storage import Location

_PADDED = 256  # bytes, so that a shorter one covers a longer one


def breadcrumb_location(out: Location, worker_id: str) -> Location:
    """Where the worker's breadcrumb lies."""
    return out / "_staging" / f"{worker_id}.breadcrumb"


def drop_breadcrumb(location: Location, lease_id: str, ordinals: Sequence[int]) -> None:
    """Say that these manifest rows of this lease are about to be rendered."""
    data = json.dumps({"lease_id": lease_id, "ordinals": list(ordinals)}).encode()
    if location.is_local:  # once a batch or more: written in place, in a third of the time of a new file
        descriptor = os.open(location.path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.pwrite(descriptor, data.ljust(_PADDED), 0)
            os.ftruncate(descriptor, max(_PADDED, len(data)))
        finally:
            os.close(descriptor)
        return
    with location.fs.open_output_stream(location.path) as stream:
        stream.write(data)


def read_breadcrumb(location: Location) -> tuple[str, tuple[int, ...]] | None:
    """The lease and rows of the last batch begun; None where there is no readable breadcrumb."""
    try:
        found = json.loads(location.read_bytes())
        return str(found["lease_id"]), tuple(found["ordinals"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
