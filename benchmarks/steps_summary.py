"""How long `renderay compare` takes to summarise a run of 100 million step rows, and how much memory.

Makes up a run of 2 million pictures of 50 steps (about a gigabyte below the folder for temporary files, deleted
afterwards), then reads it in a process of its own. `--files` sets how many files a table has: a job leaves one a lease.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _report import print_json, print_table, verdict

from jobs.jobfile import JobFile
from manifests.schemas import STEPS, images_schema
from manifests.storage import locate

STEPS_A_PICTURE = 50
SECONDS = 60.0
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
SHARED = {"model": "random:flux.1-dev", "attention_backend": "flash4", "compiled": True, "gpu": "NVIDIA H200"}
SHARED |= {"width": 1024, "height": 1024, "batch_size": 1, "image_index": 0, "started_at": STARTED}


def make_run(out: Path, pictures: int, files: int) -> None:
    """A run's folder with the tables' real columns; the pictures themselves are empty."""
    rng = np.random.default_rng(0)
    for table in ("images", "steps"):
        (out / table).mkdir(parents=True)
    for number, chunk in enumerate(np.array_split(np.arange(pictures), files)):
        ids = pa.array([f"row-{k:09d}" for k in chunk])
        own = {"id": ids, "batch_id": pa.array([f"20260101T000000-abcd-{number:06d}-b{k}" for k in chunk])}
        own["warmup"] = pa.array(chunk < 8)
        worker = {"worker_id": f"w{number % 8}"}
        step_ms = rng.lognormal(np.log(130), 0.02, (len(chunk), STEPS_A_PICTURE))
        images: dict[str, Any] = own | SHARED | worker | {"steps": STEPS_A_PICTURE, "dtype": "bfloat16", "exact": True}
        images |= {"fingerprint": "00ff", "guidance_scale": 3.5, "prompt": "a fox", "peak_gib": 34.0}
        images |= {"text_encode_ms": 40.0, "prepare_ms": 10.0, "decode_ms": 90.0, "denoise_ms": step_ms.sum(axis=1)}
        write(out / "images" / f"{number:05d}.parquet", images_schema({}), images, len(chunk))
        spread = pa.array(np.repeat(np.arange(len(chunk)), STEPS_A_PICTURE))
        steps: dict[str, Any] = {name: values.take(spread) for name, values in own.items()} | SHARED | worker
        steps |= {"step": np.tile(np.arange(STEPS_A_PICTURE, dtype=np.int32), len(chunk)), "step_ms": step_ms.ravel()}
        steps |= {name: np.tile(np.linspace(1, 0, STEPS_A_PICTURE), len(chunk)) for name in ("timestep", "sigma")}
        write(out / "steps" / f"{number:05d}.parquet", STEPS, steps, len(spread))
    JobFile(
        spec={"model": SHARED["model"], "format": "png"},
        manifest=[],
        rows=pictures,
        extra={},
        created_at=STARTED.isoformat(),
    ).write(locate(out))


def write(path: Path, schema: pa.Schema, columns: dict[str, Any], rows: int) -> None:
    """One file; columns given as one value are repeated, those not given are null."""
    arrays = []
    for field in schema:
        value = columns.get(field.name)
        if value is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(value, pa.Array | pa.ChunkedArray | np.ndarray):
            arrays.append(pa.array(value, field.type) if isinstance(value, np.ndarray) else value)
        else:
            arrays.append(pa.repeat(pa.scalar(value, field.type), rows))
    pq.write_table(pa.table(arrays, schema=schema), path, compression="zstd")


def summarise(out: str) -> dict[str, float]:
    """What `compare` does with one side, timed, and the most memory this process held."""
    from jobs.results.compare import Side, figure_of, open_run

    def timed(work: Callable[[], Any]) -> tuple[Any, float]:
        began = time.perf_counter()
        return work(), time.perf_counter() - began

    run, read_s = timed(lambda: open_run(out))
    figures, figures_s = timed(lambda: [figure_of(Side("a", (run,)), metric) for metric in ("step_ms", "picture_s")])
    return {
        "read_s": read_s,
        "figures_s": figures_s,
        "step_ms": figures[0].value,
        "batches": figures[0].batches,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def main() -> None:
    """Make up the run, summarise it, print seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step-rows", type=int, default=100_000_000)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--summarise", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.summarise:
        print(json.dumps(summarise(options.summarise)))
        return
    with tempfile.TemporaryDirectory(prefix="steps-summary-") as folder:
        out = Path(folder) / "run"
        make_run(out, options.step_rows // STEPS_A_PICTURE, options.files)
        size = sum(path.stat().st_size for path in out.rglob("*.parquet")) / 1e9
        command = [sys.executable, __file__, "--summarise", str(out)]
        found = [
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for _ in range(options.rounds)
        ]
    rows = [
        [f"round {k + 1}", each["read_s"], each["figures_s"], each["read_s"] + each["figures_s"], each["peak_gb"]]
        for k, each in enumerate(found)
    ]
    print_table(["", "read s", "figures s", "in all s", "peak GB"], rows)
    slowest = max(each["read_s"] + each["figures_s"] for each in found)
    print(verdict(slowest, SECONDS, at_least=False))
    print_json("steps_summary", step_rows=options.step_rows, files=options.files, gigabytes=size, rounds=found)


if __name__ == "__main__":
    main()
