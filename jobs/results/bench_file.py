"""OUT/bench.json: which configurations a bench took, where each one's tables lie, and which of them failed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from jobs.results.compare import Side, open_run
from manifests.errors import OutputError
from manifests.storage import Location

NAME = "bench.json"
_VERSION = 1


@dataclass
class BenchEntry:
    """One configuration of one model. `group` holds what configurations must share to be compared with each other,
    besides being compiled or not. `failure` is why there is nothing, or no more, in its `folder`, None otherwise."""

    model: str
    name: str
    folder: str
    attention: str
    compile: bool
    group: str
    failure: str | None = None
    measured: bool = False  # holds rounds that can be compared


@dataclass
class BenchFile:
    """The contents of bench.json. `created_at` is an ISO time."""

    created_at: str
    steps: int | None
    rounds: int
    entries: list[BenchEntry]

    def write(self, out: Location) -> None:
        """Write it, whole."""
        found = {"bench_version": _VERSION, **asdict(self)}
        (out / NAME).write_bytes(json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")

    def pairs(self) -> list[tuple[BenchEntry, BenchEntry]]:
        """What is compared: with the first backend the others, and the first compiled with itself not compiled."""
        found: list[tuple[BenchEntry, BenchEntry]] = []
        groups: dict[tuple[str, str], list[BenchEntry]] = {}
        for entry in self.entries:
            if entry.measured:
                groups.setdefault((entry.model, entry.group), []).append(entry)
        for members in groups.values():
            firsts: list[BenchEntry] = []
            for compiled in (False, True):
                alike = [entry for entry in members if entry.compile is compiled]
                found += [(alike[0], other) for other in alike[1:]]
                firsts += alike[:1]
            if len(firsts) == 2:
                found.append((firsts[0], firsts[1]))
        return found


def is_bench(out: Location) -> bool:
    """Whether the folder is a bench's."""
    return (out / NAME).exists()


def read_bench(out: Location) -> BenchFile:
    """What a bench left. OutputError where it cannot be read."""
    try:
        found: dict[str, Any] = json.loads((out / NAME).read_bytes())
        if (version := found.pop("bench_version")) != _VERSION:
            raise OutputError(f"{out.uri}/{NAME}: bench_version is {version} there and {_VERSION} here")
        return BenchFile(**found | {"entries": [BenchEntry(**entry) for entry in found["entries"]]})
    except FileNotFoundError as error:
        raise OutputError(f"{out.uri}: no bench in it; give the --out of `renderay bench`") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{out.uri}/{NAME}: damaged ({error})") from error


def bench_sides(out: Location, file: BenchFile) -> dict[str, Side]:
    """The measured configurations by their folder."""
    return {
        entry.folder: Side(entry.name, (open_run((out / entry.folder).uri),))
        for entry in file.entries
        if entry.measured
    }
