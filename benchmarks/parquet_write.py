"""The write settings of picture tables against pyarrow's defaults: seconds to write, and to read without the bytes.

One row group of pictures as large as finished 1024x1024 PNGs, whose bytes do not compress further. Both files are
written from the same rows and synced to disk; sides alternate.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from _prompts import prompt
from _report import print_json, print_table, spread

from manifests.schemas import images_schema
from manifests.storage import locate
from workers.tables import TableWriter


def main() -> None:
    """Measure, check that both files hold the same rows, print."""
    options = _options()
    rows = [_row(number, options.picture_bytes) for number in range(options.pictures)]
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", "default", "read ours", "read default")}
    with tempfile.TemporaryDirectory(prefix="renderay-parquet-") as folder:
        for number in range(options.rounds):
            began = time.perf_counter()
            ours = write_ours(rows, folder, f"round-{number}")
            seconds["ours"].append(time.perf_counter() - began)
            default = Path(folder, f"default-{number}.parquet")
            began = time.perf_counter()
            write_default(rows, default)
            seconds["default"].append(time.perf_counter() - began)
            for name, path in (("read ours", ours), ("read default", default)):
                columns = _all_but_bytes(path)
                began = time.perf_counter()
                pq.read_table(path, columns=columns)
                seconds[name].append(time.perf_counter() - began)
            same = pq.read_table(ours).equals(pq.read_table(default))
            sizes = ours.stat().st_size, default.stat().st_size
            ours.unlink()
            default.unlink()
            if not same:
                sys.exit("the two files do not hold the same rows")
    _report(seconds, sizes, options)


def write_ours(rows: list[dict[str, Any]], folder: str, stem: str) -> Path:
    """As a worker writes a lease's pictures, synced to disk."""
    writer = TableWriter(locate(folder), "images", stem, {})
    for row in rows:
        writer.append(row)
    file = writer.close()
    assert file is not None
    return Path(folder, "_staging", file.name)


def write_default(rows: list[dict[str, Any]], path: Path) -> None:
    """The same rows with every setting of pyarrow's at its default, synced to disk."""
    pq.write_table(pa.Table.from_pylist(rows, schema=images_schema({})), path)
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _all_but_bytes(path: Path) -> list[str]:
    return [name if name != "image" else "image.path" for name in pq.read_schema(path).names]


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


def _report(seconds: dict[str, list[float]], sizes: tuple[int, int], options: argparse.Namespace) -> None:
    ratios = [default / ours for ours, default in zip(seconds["ours"], seconds["default"], strict=True)]
    reads = [default / ours for ours, default in zip(seconds["read ours"], seconds["read default"], strict=True)]
    names = {
        "ours": "write, renderay's settings (s)",
        "default": "write, pyarrow's defaults (s)",
        "read ours": "read all other columns, renderay's file (s)",
        "read default": "read all other columns, default file (s)",
    }
    lines = [(names[key], *(f"{value:.4f}" for value in spread(values, 5).values())) for key, values in seconds.items()]
    lines.append(("times faster to write", *spread(ratios).values()))
    lines.append(("times faster to read", *spread(reads).values()))
    print(f"{options.pictures} pictures of {options.picture_bytes / 1e6:.1f} MB, {options.rounds} rounds")
    print(f"files of {sizes[0] / 1e6:.1f} MB (renderay) and {sizes[1] / 1e6:.1f} MB (defaults)")
    print_table(("", "min", "median", "max"), lines)
    print_json(
        "parquet_write",
        pictures=options.pictures,
        picture_bytes=options.picture_bytes,
        write_s=spread(seconds["ours"], 5),
        write_default_s=spread(seconds["default"], 5),
        read_s=spread(seconds["read ours"], 5),
        read_default_s=spread(seconds["read default"], 5),
        write_ratio=spread(ratios),
        read_ratio=spread(reads),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=64, help="pictures in the file")
    parser.add_argument("--picture-bytes", type=int, default=1_500_000, help="bytes of one encoded picture")
    parser.add_argument("--rounds", type=int, default=5, help="times that both files are written, in turn")
    return parser.parse_args()


if __name__ == "__main__":
    main()
