"""Whether the tables of an output folder are exact at rest, read by plain globs and nothing of renderay's."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

TABLES = ("images", "steps", "errors")


def faults_of(out: Path, ids: list[str], steps: int) -> list[str]:
    """What is wrong with the tables of a job that holds these ids with one picture of `steps` steps each."""
    images = _rows(out, "images", ["id", "image_index", "sha256", "image"])
    pictures = Counter((row["id"], row["image_index"]) for row in images)
    failed = Counter(row["id"] for row in _rows(out, "errors", ["id"]))
    steps_rows = _rows(out, "steps", ["id", "image_index", "step"])
    timed = Counter((row["id"], row["image_index"], row["step"]) for row in steps_rows)
    wanted = {(name, 0) for name in ids if name not in failed}
    wanted_steps = {(*key, step) for key in wanted for step in range(steps)}
    faults = [
        ("pictures twice", sum(count > 1 for count in pictures.values())),
        ("pictures missing", len(wanted - pictures.keys())),
        ("pictures too many", len(pictures.keys() - wanted)),
        ("steps twice", sum(count > 1 for count in timed.values())),
        ("steps missing", len(wanted_steps - timed.keys())),
        ("steps too many", len(timed.keys() - wanted_steps)),
        ("errors twice", sum(count > 1 for count in failed.values())),
        ("errors of no row", len(failed.keys() - set(ids))),
        ("pictures unlike their sha256", sum(sha256(r["image"]["bytes"]).hexdigest() != r["sha256"] for r in images)),
        ("orphan files", len(_files(out) - _named(out))),
        ("lost files", len(_named(out) - _files(out))),
    ]
    return [f"{count} {what}" for what, count in faults if count]


def digests(out: Path) -> dict[str, str]:
    """sha256 of every picture's bytes, by id."""
    return {row["id"]: sha256(row["image"]["bytes"]).hexdigest() for row in _rows(out, "images", ["id", "image"])}


def count_errors(out: Path) -> int:
    """Rows of the errors table."""
    return len(_rows(out, "errors", ["id"]))


def log_records(out: Path, run: str = "") -> list[dict[str, Any]]:
    """The commit log, of one run only if it is named; a torn last line is left out."""
    found = []
    for segment in sorted((out / "_commits").glob(f"{run}*.jsonl")):
        for line in segment.read_bytes().split(b"\n")[:-1]:
            found.append(json.loads(line))
    return found


def _rows(out: Path, table: str, columns: list[str]) -> list[dict[str, Any]]:
    files = sorted((out / table).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file, columns=columns).to_pylist()]


def _files(out: Path) -> set[tuple[str, str]]:
    return {(table, path.name) for table in TABLES for path in (out / table).iterdir()}


def _named(out: Path) -> set[tuple[str, str]]:
    records = log_records(out)
    gone = {record["lease"] for record in records if record["kind"] == "withdraw"}
    return {
        (table, name.removeprefix(f"{table}-"))
        for record in records
        if record["kind"] == "lease" and record["lease"] not in gone
        for table, name, *_ in record["files"]
    }
