"""The write settings of picture tables against pyarrow's defaults: seconds to write, and to read without the bytes.

One row group of pictures as large as finished 1024x1024 PNGs, whose bytes do not compress further. The same Arrow
table is written with both settings, in turn, into memory; then every column but the pictures is read back.
The last line is what a worker does with a lease: from Python rows to a file that is synced to disk.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from _prompts import prompt
from _report import print_json, print_table, spread

from manifests.schemas import images_schema
from manifests.storage import locate
from workers.tables import TableWriter

_MEMORY = "/dev/shm"  # no disk, so that the settings alone are measured; elsewhere the temporary folder

NAMES = {
    "write": "write, renderay's settings (ms)",
    "write_default": "write, pyarrow's defaults (ms)",
    "read": "read all but the pictures, renderay's file (ms)",
    "read_default": "read all but the pictures, default file (ms)",
    "lease": "rows to a synced file, as a worker does (ms)",
}


def main() -> None:
    """Measure, check that both files hold the same rows, print."""
    options = _options()
    rows = [_row(number, options.picture_bytes) for number in range(options.pictures)]
    table = pa.Table.from_pylist(rows, schema=images_schema({}))
    taken: dict[str, list[float]] = {name: [] for name in NAMES}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = function()
        taken[name].append((time.perf_counter() - began) * 1e3)
        return result

    memory = _MEMORY if os.path.isdir(_MEMORY) else None
    with (
        tempfile.TemporaryDirectory(prefix="renderay-parquet-", dir=memory) as folder,
        tempfile.TemporaryDirectory(prefix="renderay-parquet-") as disk,
    ):
        default = f"{folder}/default.parquet"
        for number in range(options.rounds):
            ours = timed("write", lambda n=number: write_ours(table, folder, f"table-{n}"))
            timed("write_default", lambda: pq.write_table(table, default))
            timed("read", lambda path=ours: read_light(path))
            timed("read_default", lambda: read_light(default))
            lease = timed("lease", lambda n=number: write_lease(rows, disk, f"lease-{n}"))
            if not all(pq.read_table(path).equals(table) for path in (ours, default, lease)):
                sys.exit("the files do not hold the same rows")
            os.unlink(ours)
            os.unlink(lease)
    _report(taken, options)


def write_ours(table: pa.Table, folder: str, stem: str) -> str:
    """Write with the settings of workers/tables.py, nothing else of it; the file's path."""
    file = TableWriter(locate(folder), "images", stem, {})
    with file._open() as writer:
        writer.write_table(table)
    return f"{folder}/_staging/{file.name}"


def write_lease(rows: list[dict[str, Any]], folder: str, stem: str) -> str:
    """Write as a worker does; the file's path."""
    writer = TableWriter(locate(folder), "images", stem, {})
    for row in rows:
        writer.append(row)
    writer.close()
    return f"{folder}/_staging/{writer.name}"


def read_light(path: str) -> pa.Table:
    """Every column but `image`."""
    return pq.read_table(path, columns=[name for name in pq.read_schema(path).names if name != "image"])


def _row(number: int, size: int) -> dict[str, Any]:
    data = random.Random(number).randbytes(size + number)
    return {
        "id": f"plate-{number:07d}",
        "ordinal": number,
        "image_index": 0,
        "image": {"bytes": data, "path": f"plate-{number:07d}-0.png"},
        "format": "png",
        "width": 1024,
        "height": 1024,
        "prompt": prompt(number),
        "seed": number,
        "steps": 50,
        "guidance_scale": 3.5,
        "model": "tiny:flux.1-dev",
        "dtype": "float32",
        "attention_backend": "sdpa-flash",
        "compiled": False,
        "exact": True,
        "batch_size": 1,
        "batch_id": f"lease-b{number}",
        "worker_batch": number,
        "attempt": 1,
        "lease_id": "lease",
        "worker_id": "worker",
        "started_at": datetime.fromtimestamp(1_700_000_000 + number, UTC),
        "denoise_ms": 6500.0 + number,
        "sha256": sha256(data).hexdigest(),
        "reference_images": [],
    }


def _report(taken: dict[str, list[float]], options: argparse.Namespace) -> None:
    figures = {f"{name}_ms": spread(values) for name, values in taken.items()}
    ratio = spread([default / ours for ours, default in zip(taken["write"], taken["write_default"], strict=True)])
    lines = [(NAMES[name], *spread(values).values()) for name, values in taken.items()]
    print(f"{options.pictures} pictures of {options.picture_bytes / 1e6:.1f} MB, {options.rounds} rounds")
    print_table(("", "min", "median", "max"), [*lines, ("times faster to write", *ratio.values())])
    asked = {"pictures": options.pictures, "picture_bytes": options.picture_bytes}
    print_json("parquet_write", **asked, **figures, write_ratio=ratio)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=64, help="pictures in the file")
    parser.add_argument("--picture-bytes", type=int, default=1_500_000, help="bytes of one encoded picture")
    parser.add_argument("--rounds", type=int, default=15, help="times that both files are written, in turn")
    return parser.parse_args()


if __name__ == "__main__":
    main()
