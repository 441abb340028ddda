"""`renderay report` on a large job: seconds, size of the page, and peak memory of the process.

The job is made up, its files are real: leases of 64 pictures written as a worker writes them, with a steps table and a
commit log. The pictures are JPEG files of the size asked for that differ from each other.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from _prompts import prompt
from _report import print_json, print_table
from PIL import Image

from jobs.commits import CommitLog, end_record, lease_record, run_record
from jobs.jobfile import new_job_file
from jobs.publish import Publisher
from jobs.spec import make_spec
from manifests.storage import Location, locate
from manifests.survey import Survey
from workers.settings import LeaseResult
from workers.tables import TableWriter

_LEASE = 64
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_DISTINCT = 32  # pictures drawn; the others are these with other bytes behind the end of the file


def main() -> None:
    """Make the job, report on it in a process of its own, print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="renderay-report-", dir=options.folder) as folder:
        out = locate(f"{folder}/out")
        make_job(out, options)
        images = sum(int(info.size) for info in (out / "images").list())
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "renderay", "report", out.path], check=True)
        seconds = time.perf_counter() - began
        page = os.path.getsize(f"{out.path}/report.html")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    head = ("pictures", "step rows", "images GB", "seconds", "page MB", "peak memory MB")
    figures = (options.pictures, options.pictures * options.steps, images / 1e9, seconds, page / 1e6, peak)
    print_table(head, [figures])
    print_json("report_page", **dict(zip((name.replace(" ", "_") for name in head), figures, strict=True)))


def make_job(out: Location, options: argparse.Namespace) -> None:
    """Write the tables, the log and job.json of a finished job."""
    spec = make_spec(manifest=("made-up.jsonl",), model="tiny:flux.1-dev", out=out.uri)
    extra = {"style": "string", "weight": "int64"}
    new_job_file(spec, [], Survey(options.pictures, extra), _BEGIN).write(out)
    drawn = [picture(number, options.picture_bytes) for number in range(_DISTINCT)]
    publisher, log = Publisher(out), CommitLog(out, "made")
    log.append([run_record("made", options.pictures, _BEGIN)])
    clocks = [20.0] * options.workers
    for number in range(math.ceil(options.pictures / _LEASE)):
        worker = number % options.workers
        ordinals = range(number * _LEASE, min((number + 1) * _LEASE, options.pictures))
        clocks[worker] += 1.0  # between leases
        lease_id = f"made-{number:06d}"
        writers = {table: TableWriter(out, table, lease_id, extra) for table in ("images", "steps")}
        for ordinal in ordinals:
            row = _row(ordinal, lease_id, f"made-w{worker}", clocks[worker], options.steps, drawn)
            writers["images"].append(row)
            clocks[worker] += (row["prepare_ms"] + row["denoise_ms"] + row["decode_ms"]) / 1e3 + 0.01
            for step in range(options.steps):
                writers["steps"].append(_step(row, step))
        files = tuple(file for writer in writers.values() if (file := writer.close()))
        done = LeaseResult(lease_id, f"made-w{worker}", tuple(ordinals), (), len(ordinals), 60.0, files)
        log.append([lease_record(done, _BEGIN + timedelta(seconds=clocks[worker]))])
        publisher.publish(files)
    log.append([end_record(options.pictures, _BEGIN + timedelta(seconds=max(clocks)))])
    log.close()


def picture(number: int, size: int) -> bytes:
    """A JPEG file of 512 x 512 smooth random pixels, filled up behind its end to `size` bytes."""
    coarse = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((512, 512), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue() + random.Random(number).randbytes(max(0, size - buffer.tell()))


def _row(ordinal: int, lease_id: str, worker: str, at: float, steps: int, drawn: list[bytes]) -> dict[str, Any]:
    slow = 1 + 0.05 * random.Random(ordinal).random() + (3 if ordinal % 9973 == 11 else 0)
    return {
        "id": f"row-{ordinal:09d}",
        "ordinal": ordinal,
        "image_index": 0,
        "image": {"bytes": drawn[ordinal % len(drawn)] + ordinal.to_bytes(8, "big"), "path": f"{ordinal}.jpeg"},
        "format": "jpeg",
        "width": 512,
        "height": 512,
        "prompt": prompt(ordinal),
        "seed": ordinal * 7919,
        "steps": steps,
        "model": "tiny:flux.1-dev",
        "attention_backend": "sdpa-cudnn",
        "compiled": True,
        "exact": True,
        "batch_size": 1,
        "batch_id": f"{lease_id}-b{ordinal}",
        "warmup": ordinal < _LEASE and ordinal % _LEASE == 0,
        "attempt": 1,
        "lease_id": lease_id,
        "worker_id": worker,
        "node": "node-a",
        "gpu": "NVIDIA H200",
        "peak_gib": 33.9,
        "started_at": _BEGIN + timedelta(seconds=at),
        "queue_ms": 500.0,
        "text_encode_ms": 10.0,
        "prepare_ms": 3.0,
        "denoise_ms": 50.0 * steps * slow,
        "decode_ms": 25.0,
        "image_encode_ms": 40.0,
        "reference_images": [],
        "style": ("photo", "watercolour", "sketch")[ordinal % 3],
        "weight": ordinal % 1000,
    }


def _step(row: dict[str, Any], step: int) -> dict[str, Any]:
    shared = ("id", "image_index", "batch_id", "batch_size", "started_at", "warmup", "width", "height", "worker_id")
    return {name: row[name] for name in shared} | {"step": step, "step_ms": row["denoise_ms"] / row["steps"]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=20, help="denoising steps, each a row of the steps table")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--picture-bytes", type=int, default=60_000, help="bytes of one encoded picture, at least")
    parser.add_argument("--folder", help="where the job is made; the temporary folder by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
