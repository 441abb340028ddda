"""What a user adds to the Ray runtime environment of a submitted job."""

from __future__ import annotations

from typing import Any

from jobs.yaml_file import read_mapping
from manifests.errors import SpecError

_OURS = ("working_dir", "py_modules")


def read_runtime_env(path: str | None) -> dict[str, Any]:
    """The fields in a YAML file; none without one.

    Raises SpecError where it cannot be read, is not a mapping or sets what renderay sets.
    """
    if path is None:
        return {}
    found = read_mapping("runtime-env", path, "fields of a Ray runtime environment to values, like `env_vars:`")
    if taken := [name for name in _OURS if name in found]:
        raise SpecError(f"runtime-env {path}: {taken[0]}: renderay's own code travels in it; leave it out")
    if not isinstance(found.get("env_vars") or {}, dict):
        raise SpecError(f"runtime-env {path}: env_vars: must map names to values")
    return found
