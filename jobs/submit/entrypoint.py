"""What a submitted job runs first, on the cluster: one line about what is missing there, or else the render.

Nothing but the standard library may be imported before the check, in the syntax of any Python 3 still met.
"""

from __future__ import annotations

import os
import socket
import sys
from importlib import metadata

REQUIREMENTS = "requirements.txt"
OLDEST = (3, 11)
_REMEDY = (
    "install the packages of renderay's requirements.txt on every machine of the cluster, and run `ray start` there "
    "with that environment first on the PATH"
)


def main() -> None:
    """Check this Python, then be the `renderay` command."""
    fault = unfit(sys.version_info[:2], _read(REQUIREMENTS))
    if fault:
        sys.exit(_say(fault))
    from jobs.cli import main as renderay

    renderay()


def unfit(python: tuple[int, ...], requirements: list[str]) -> str:
    """Why a Python of this version, with the packages that are beside it, cannot run renderay; empty if it can."""
    if python < OLDEST:
        return f"is Python {python[0]}.{python[1]}, and renderay needs {OLDEST[0]}.{OLDEST[1]} or later"
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return "lacks packaging and what else renderay needs"
    lacking = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            lacking.append(f"{requirement.name}{requirement.specifier}")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            lacking.append(f"{requirement.name}{requirement.specifier} (it has {found})")
    return f"lacks {', '.join(lacking)}" if lacking else ""


def _say(fault: str) -> int:
    python = f"{sys.executable} on {socket.gethostname()}"
    print(f"renderay: {python}, which is to run the job, {fault}; {_REMEDY}", file=sys.stderr)
    return 2


def _read(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


if __name__ == "__main__":
    main()
