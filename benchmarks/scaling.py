"""One job on one GPU and on all of them: pictures an hour, and how long each worker's GPU had nothing to do.

From the first picture's beginning to the last one's end, warm-up batches left out; busy time is what the images table
says of every batch (text encoding, preparation, denoising, decoding).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from _prompts import write_manifest
from _report import print_json, print_table

COLUMNS = ["worker_id", "batch_id", "warmup", "started_at", "text_encode_ms", "prepare_ms", "denoise_ms", "decode_ms"]


def render(manifest: Path, gpus: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the command on so many GPUs; the timings of its pictures."""
    out = Path(tempfile.mkdtemp(prefix="scaling-")) / "out"
    command = [sys.executable, "-m", "renderay", "render", str(manifest), "--model", options.model, "--out", str(out)]
    command += ["--gpus", str(gpus), "--steps", str(options.steps), "--batch-size", "1"]
    command += ["--limit", str(options.rows * gpus // options.gpus)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    tables = [pq.read_table(path, columns=COLUMNS) for path in sorted(out.glob("images/*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def measure(rows: list[dict[str, Any]]) -> tuple[float, dict[str, float]]:
    """Pictures an hour over all workers, and each worker's idle share."""
    busy: dict[str, float] = defaultdict(float)
    spans: dict[str, list[Any]] = defaultdict(list)
    for row in (row for row in rows if not row["warmup"]):
        in_call = row["prepare_ms"] + row["denoise_ms"] + row["decode_ms"]
        busy[row["worker_id"]] += (in_call + row["text_encode_ms"]) / 1e3
        spans[row["worker_id"]] += [row["started_at"], row["started_at"] + timedelta(milliseconds=in_call)]
    idle = {name: 1 - busy[name] / (max(ends) - min(ends)).total_seconds() for name, ends in spans.items()}
    everything = [instant for ends in spans.values() for instant in ends]
    seconds = (max(everything) - min(everything)).total_seconds()
    return sum(not row["warmup"] for row in rows) / seconds * 3600, idle


def main() -> None:
    """Compare one GPU with all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="random:flux.1-dev")
    parser.add_argument("--rows", type=int, default=64, help="on all GPUs; one GPU gets its share")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    import torch

    options.gpus = torch.cuda.device_count()
    if not options.gpus:
        print("scaling: needs an NVIDIA GPU; nothing measured")
        return
    manifest = write_manifest(Path(tempfile.mkdtemp(prefix="scaling-")) / "rows.jsonl", options.rows)
    results = {gpus: measure(render(manifest, gpus, options)) for gpus in sorted({1, options.gpus})}
    table = [[gpus, f"{rate:.0f}", rate / results[1][0], max(idle.values())] for gpus, (rate, idle) in results.items()]
    print_table(["GPUs", "pictures/hour", "against one", "idle share at most"], table)
    print_json("scaling", model=options.model, results={gpus: [rate, idle] for gpus, (rate, idle) in results.items()})


if __name__ == "__main__":
    main()
