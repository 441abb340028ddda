"""A model on less memory than it takes: FLUX.2-dev at full size, swapped within an 80 GB card, spread, quantised.

Renders the same rows each way through the command and tells load seconds, s/step, peak memory, what a swap costs, and
whether the pictures are those of the whole model on one GPU. Needs a GPU with the memory of an H200; the spread run
needs two.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import renderay

CARD_GIB = 72.0  # an 80 GB card has 74.5 GiB, of which CUDA and its libraries keep some
WAYS = {
    "resident": [],
    "swap": ["--gpu-memory", str(CARD_GIB)],
    "spread": ["--gpus-per-worker", "2"],
    "int8": ["--gpu-memory", str(CARD_GIB), "--quantize", "int8", "--quantize", "text_encoder=int8"],
    "never": ["--gpu-memory", str(CARD_GIB), "--offload", "never"],
}


def render(way: str, family: str, rows: int, steps: int, folder: Path) -> dict[str, Any]:
    """One job; what it printed where it was refused."""
    manifest = folder / "rows.jsonl"
    lines = [{"id": f"r{k}", "prompt": f"a lighthouse at dusk, {k} birds above it", "seed": k} for k in range(rows)]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "renderay", "render", str(manifest), "--model", f"random:{family}"]
    command += ["--out", str(folder / way), "--steps", str(steps), "--batch-size", "1", "--attention", "sdpa"]
    command += ["--width", "1024", "--height", "1024", "--no-compile", "--workers", "1", *WAYS[way]]
    begun = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {"way": way, "exit": ended.returncode, "seconds": time.perf_counter() - begun}
    if ended.returncode:
        return found | {"said": ended.stderr.strip()[-600:]}
    results = renderay.open(folder / way)
    images = results.images.arrow(["id", "sha256", "peak_gib", "exact", "warmup"]).sort_by("id").to_pylist()
    timed = results.steps.arrow(["step_ms", "warmup"]).to_pylist()
    model = results.job.model
    return found | {
        "placement": model["placement"],
        "load_s": model["load_seconds"],
        "swap_s": model["swap_seconds"],
        "s_per_step": float(np.median([row["step_ms"] for row in timed if not row["warmup"]]) / 1e3),
        "peak_gib": max(row["peak_gib"] for row in images),
        "exact": all(row["exact"] for row in images),
        "pictures": [row["sha256"][:16] for row in images],
    }


def main() -> None:
    """Measure each way that was asked for; all that this machine's GPUs allow by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ways", nargs="*", help=", ".join(WAYS))
    parser.add_argument("--family", default="flux.2-dev")
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    import torch

    gpus = torch.cuda.device_count()
    if not gpus:
        print("offload: needs an NVIDIA GPU; nothing measured")
        return
    ways = options.ways or [way for way in WAYS if way != "spread" or gpus > 1]
    whole: list[str] | None = None
    with tempfile.TemporaryDirectory(prefix="offload-") as folder:
        for way in ways:
            found = render(way, options.family, options.rows, options.steps, Path(folder))
            if way == "resident":
                whole = found.get("pictures")
            elif whole:
                found["same pictures"] = found.get("pictures") == whole
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
