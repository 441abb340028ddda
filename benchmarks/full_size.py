"""The four model families at full size with random weights, through the command: s/step, load seconds, peak memory.

Needs a GPU with the memory of an H200. `--plain` also renders the first row with the plain diffusers call, in a process
of its own with the same weights, and compares the pixels bit for bit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

STEPS = {"flux.1-dev": 50, "flux.2-dev": 50, "qwen-image": 50, "qwen-image-edit-2511": 40}
PROMPTS = ["a red fox in the snow, photograph", "an owl that reads a newspaper, watercolour"]


def write_manifest(folder: Path, family: str, rows: int) -> Path:
    """`rows` rows with seeds of their own; edit rows with a picture of gradients and noise."""
    noise = np.random.default_rng(0).integers(0, 60, (768, 1024, 3)) + np.linspace(0, 195, 1024)[None, :, None]
    Image.fromarray(noise.astype(np.uint8)).save(folder / "photo.png")
    own = {"image": "photo.png"} if family == "qwen-image-edit-2511" else {}
    lines = [{"id": f"r{k}", "prompt": PROMPTS[k % 2], "seed": k, **own} for k in range(rows)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def render(family: str, rows: int, steps: int, *options: str) -> tuple[Path, Path]:
    """Run the command; returns the manifest's folder and the output."""
    folder = Path(tempfile.mkdtemp(prefix="full-size-"))
    manifest = write_manifest(folder, family, rows)
    command = [sys.executable, "-m", "renderay", "render", str(manifest), "--model", f"random:{family}"]
    command += ["--out", str(folder / "out"), "--width", "1024", "--height", "1024", "--steps", str(steps), *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        logs = "\n".join(path.read_text()[-3000:] for path in (folder / "out" / "_logs").glob("*"))
        raise SystemExit(f"{family}: exit {ended.returncode}: {ended.stderr[-2000:]}\n{logs}")
    return folder, folder / "out"


def read(out: Path, table: str, columns: list[str]) -> list[dict[str, Any]]:
    """Some columns of a table."""
    return [
        row
        for path in sorted(out.glob(f"{table}/*.parquet"))
        for row in pq.read_table(path, columns=columns).to_pylist()
    ]


def measure(family: str, rows: int, steps: int, *options: str) -> dict[str, Any]:
    """Render and read what it cost: the median step apart from warm-up batches, in seconds."""
    _, out = render(family, rows, steps, *options)
    timed = [row["step_ms"] / 1e3 for row in read(out, "steps", ["step_ms", "warmup"]) if not row["warmup"]]
    images = read(
        out,
        "images",
        [
            "warmup",
            "peak_gib",
            "attention_backend",
            "compiled",
            "text_encode_ms",
            "prepare_ms",
            "decode_ms",
            "image_encode_ms",
            "batch_size",
        ],
    )
    warm = [row for row in images if not row["warmup"]]
    job = json.loads((out / "job.json").read_text())
    return {
        "model": family,
        "steps": steps,
        "s_per_step": float(np.median(timed)),
        "load_s": job["model"]["load_seconds"],
        "peak_gib": max(row["peak_gib"] for row in images),
        "attention": warm[0]["attention_backend"],
        "compiled": warm[0]["compiled"],
        "text_ms": warm[0]["text_encode_ms"],
        "prepare_ms": warm[0]["prepare_ms"],
        "decode_ms": warm[0]["decode_ms"],
        "png_ms": warm[0]["image_encode_ms"],
        "gpu": job["hardware"][0]["gpu"],
        "decisions": next(iter(job["decisions"].values()))["reasons"],
    }


def plain(family: str, steps: int, folder: str) -> None:
    """In a process of its own: the plain diffusers call, its pixels saved as a PNG."""
    import torch

    from workers.model import load_model

    model = load_model(f"random:{family}", "cuda", "bfloat16")
    options: dict[str, Any] = {}
    defaults = model.facts.defaults
    if defaults.negative_prompt is not None:
        options |= {"negative_prompt": defaults.negative_prompt, "true_cfg_scale": defaults.true_cfg_scale}
    if defaults.guidance_scale is not None:
        options["guidance_scale"] = defaults.guidance_scale
    if family == "qwen-image-edit-2511":
        options["image"] = [Image.open(Path(folder) / "photo.png")]
    generator = torch.Generator("cpu").manual_seed(0)
    picture = model.pipe(
        prompt=PROMPTS[0], width=1024, height=1024, num_inference_steps=steps, generator=generator, **options
    ).images[0]
    picture.save(Path(folder) / "plain.png")


def compare(family: str, steps: int) -> bool:
    """Whether renderay's first picture equals the plain call's, bit for bit."""
    folder, out = render(family, 1, steps, "--attention", "sdpa", "--no-compile", "--batch-size", "1")
    subprocess.run([sys.executable, __file__, "--plain-call", family, str(steps), str(folder)], check=True)
    ours = read(out, "images", ["image"])[0]["image"]["bytes"]
    return np.array_equal(np.asarray(Image.open(BytesIO(ours))), np.asarray(Image.open(folder / "plain.png")))


def main() -> None:
    """Measure each family in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=list(STEPS))
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--steps", type=int, help="instead of the authors' number")
    parser.add_argument("--plain", action="store_true", help="only compare with the plain call, over 4 steps")
    parser.add_argument("--attention", default="auto")
    parser.add_argument("--batch-size", default="1")
    parser.add_argument("--plain-call", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain_call:
        family, steps, folder = options.plain_call
        plain(family, int(steps), folder)
        return
    import torch

    if not torch.cuda.is_available():
        print("full_size: needs an NVIDIA GPU; nothing measured")
        return
    for family in options.families:
        if options.plain:
            equal = compare(family, options.steps or 4)
            print(f"{family:16} equals the plain call: {'yes' if equal else 'NO'}", flush=True)
            continue
        steps = options.steps or STEPS[family]
        print(
            json.dumps(
                measure(
                    family, options.rows, steps, "--attention", options.attention, "--batch-size", options.batch_size
                )
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
