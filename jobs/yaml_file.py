"""A YAML file that a user names on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from manifests.errors import SpecError, one_line


def read_mapping(option: str, path: str, expected: str) -> dict[Any, Any]:
    """The mapping in a YAML file that `option` named.

    Raises SpecError where it cannot be read, or is not a mapping: it "must map" what is `expected`.
    """
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{option} {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{option} {path}: not YAML: {one_line(error)}") from error
    if not isinstance(found, dict):
        raise SpecError(f"{option} {path}: must map {expected}")
    return found
