"""What a worker was rendering when it died: a small file, rewritten before every batch.

A process that is killed cannot say which row killed it, so it says beforehand. Only the driver reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from manifests.storage import Location


def breadcrumb_location(out: Location, worker_id: str) -> Location:
    """Where the worker's breadcrumb lies."""
    return out / "_staging" / f"{worker_id}.breadcrumb"


def drop_breadcrumb(location: Location, lease_id: str, ordinals: Sequence[int]) -> None:
    """Say that these manifest rows of this lease are about to be rendered."""
    with location.fs.open_output_stream(location.path) as stream:
        stream.write(json.dumps({"lease_id": lease_id, "ordinals": list(ordinals)}).encode())


def read_breadcrumb(location: Location) -> tuple[str, tuple[int, ...]] | None:
    """The lease and rows of the last batch begun; None where there is no readable breadcrumb."""
    try:
        found = json.loads(location.read_bytes())
        return str(found["lease_id"]), tuple(found["ordinals"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
