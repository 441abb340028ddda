"""What came of a bench: every configuration by itself, and the two tables of one against another."""

from __future__ import annotations

import json
from typing import Any

from jobs.results.bench_file import BenchEntry, BenchFile, bench_sides
from jobs.results.compare import Comparison, Side, compare, figure_of
from jobs.results.compare_tables import comparison_tables, figure_text
from jobs.results.text_table import TextTable, digits
from manifests.storage import Location

_HEAD = (
    *("model", "configuration", "ran", "s/step", "95 % interval", "s/picture", "95 % interval"),
    *("warm-up s/picture", "peak GiB"),
)
_TEXTS = frozenset({"model", "configuration", "ran", "reason"})
_SPARE = ("peak GiB", "warm-up s/picture")


def bench_comparisons(file: BenchFile, sides: dict[str, Side]) -> list[Comparison]:
    """Every comparison that the tables show."""
    return [compare(sides[a.folder], sides[b.folder]) for a, b in file.pairs()]


def bench_tables(file: BenchFile, sides: dict[str, Side], comparisons: list[Comparison]) -> list[TextTable]:
    """The configurations, what failed, then the two tables of comparisons."""
    rows = tuple(_row(entry, sides[entry.folder]) for entry in file.entries if entry.measured)
    title = f"Every configuration, medians of {file.rounds} rounds taken in turns"
    found = [TextTable(title, _HEAD, rows, _TEXTS, about=("model",), spare=_SPARE)]
    failed = tuple((entry.model, entry.name, entry.failure) for entry in file.entries if entry.failure)
    if failed:
        found.append(TextTable("Failed", ("model", "configuration", "reason"), failed, _TEXTS))
    if comparisons:
        found += comparison_tables(comparisons)
    return found


def write_tables(out: Location, file: BenchFile) -> list[TextTable]:
    """Make the tables, and save them as OUT/bench.md and OUT/bench-tables.json."""
    sides = bench_sides(out, file)
    comparisons = bench_comparisons(file, sides)
    tables = bench_tables(file, sides, comparisons)
    text = [f"# renderay bench, {file.created_at}\n", _machine(sides), *(table.markdown() for table in tables)]
    (out / "bench.md").write_bytes("\n".join(text).encode())
    found = {"configurations": [_json(entry, sides.get(entry.folder)) for entry in file.entries]}
    found["comparisons"] = [line for each in comparisons for line in each.as_json()]
    (out / "bench-tables.json").write_bytes(json.dumps(found, indent=2).encode() + b"\n")
    return tables


def _row(entry: BenchEntry, side: Side) -> tuple[str, ...]:
    step, picture = figure_of(side, "step_ms"), figure_of(side, "picture_s")
    _, warm = side.warmup()
    return (
        *(entry.model, entry.name, side.ran),
        *figure_text(step.value, step.low, step.high, 1e-3),
        *figure_text(picture.value, picture.low, picture.high),
        *(digits(warm), digits(_peak(side), 3)),
    )


def _json(entry: BenchEntry, side: Side | None) -> dict[str, Any]:
    found: dict[str, Any] = dict(entry.__dict__)
    if side is not None:
        found |= {"ran": side.ran, "warmup_picture_s": side.warmup()[1], "peak_gib": _peak(side)}
        for metric in ("step_ms", "picture_s"):
            figure = figure_of(side, metric)
            found |= {metric: figure.value, f"{metric}_low": figure.low, f"{metric}_high": figure.high}
    return found


def _peak(side: Side) -> float:
    return float(max(side.runs[0].batches["peak_gib"].to_pylist()))


def _machine(sides: dict[str, Side]) -> str:
    """Which device and packages, from the first configuration's job.json."""
    for side in sides.values():
        job = side.runs[0].job
        versions = ", ".join(f"{name} {version}" for name, version in job.model["versions"].items())
        return f"{job.hardware[0]['gpu'] or job.hardware[0]['cpu']}; {job.model['dtype']}; {versions}\n"
    return "Nothing was measured.\n"
