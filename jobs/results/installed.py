"""Optional packages: loaded where they are used, and asked for in one line where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from manifests.errors import SpecError


def need(package: str, wanted_by: str) -> Any:
    """The package, imported. SpecError that names the extra where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        if error.name != package:
            raise
        raise SpecError(
            f"{wanted_by} needs {package}, which is not installed: pip install 'renderay[analysis]'"
        ) from None
