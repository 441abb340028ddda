"""What every benchmark prints: a short table for people, then one JSON line for machines."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

_PACKAGES = ("torch", "diffusers", "ray", "pyarrow")


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a head: first column to the left, the others to the right."""
    cells = [list(map(str, head)), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    for number, row in enumerate(cells):
        padded = [text.rjust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *padded[1:]]).rstrip())
        if number == 0:
            print("  ".join("-" * w for w in widths))


def print_json(benchmark: str, **figures: Any) -> None:
    """Print the figures, and what they were measured on, as one line of JSON."""
    print(json.dumps({"benchmark": benchmark, **figures, "machine": machine()}), flush=True)


def machine() -> dict[str, Any]:
    """Cores this process may use, system, and the packages that matter."""
    packages = {name: version(name) for name in _PACKAGES}
    return {"cores": cores(), "system": f"{platform.system()} {platform.machine()}", **packages}


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Minimum, median and maximum of repeated measurements."""
    found = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


def verdict(value: float, target: float, at_least: bool = True) -> str:
    """Whether a figure meets its target, in words."""
    met = value >= target if at_least else value <= target
    return f"target {'>=' if at_least else '<='} {target:g}: {'met' if met else 'MISSED'} ({value:.4g})"


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
