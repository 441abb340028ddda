"""What was measured before on this machine: one small JSON file a measurement, below the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger("renderay.attention")


def recall(key: dict[str, Any]) -> dict[str, Any] | None:
    """What was stored under an equal key; None where nothing was, or it cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(_path(key).read_text(encoding="utf-8"))
        if found["key"] == _plain(key):
            value: dict[str, Any] = found["value"]
            return value
    return None


def remember(key: dict[str, Any], value: dict[str, Any]) -> None:
    """Store plain values under a key. A folder that cannot be written costs the memory, not the job."""
    path = _path(key)
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps({"key": key, "value": value}, indent=1) + "\n", encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        log.warning("%s: what was measured is not remembered: %s", path.parent, error)


def _path(key: dict[str, Any]) -> Path:
    """Of the file of a key, in $XDG_CACHE_HOME or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    digest = hashlib.sha256(json.dumps(_plain(key), sort_keys=True).encode()).hexdigest()[:24]
    return Path(home) / "renderay" / "attention" / f"{digest}.json"


def _plain(key: dict[str, Any]) -> Any:
    """The key as JSON would give it back: tuples are lists there."""
    return json.loads(json.dumps(key))
