"""Pictures per second of renderay against a plain diffusers loop, from first to last picture.

The loop is what a careful user writes: as many processes, each loading the same tiny pipeline, calling
`pipe(prompt, ...)` for every row of its share and saving a PNG. Rows, seeds, sizes, steps, threads and encoding are the
same, so the pictures must be too: their pixels are compared. Loading is left out on both sides. They render in turns
of a second, each stopped while the other runs, and only the time in which a side ran is counted (see _turns.py).

    first to last   from the encoding of the first prompt to the end of the last picture's PNG
    to last commit  the same, up to the driver's last commit: everything durable and published
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import _prompts
import numpy as np
import pyarrow.dataset as ds
from _report import cores, print_json, print_table, spread, verdict
from _turns import Side, take_turns
from PIL import Image

from jobs.commits import read_log
from manifests.columns import ColumnMap
from manifests.files import find_files
from manifests.row import Row
from manifests.rows import parse_rows
from manifests.seeds import picture_seed
from manifests.storage import locate
from manifests.validate import RowRules

MODEL = "tiny:flux.1-dev"
JOB_SEED = 0
TARGET = 0.90
_DURATIONS_MS = ("prepare_ms", "denoise_ms", "decode_ms", "image_encode_ms")


def main() -> None:
    """Measure, print, and fail if any pixel differs."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="renderay-throughput-") as folder:
        home = Path(folder)
        manifest = options.manifest or str(_prompts.write_manifest(home / "prompts.jsonl", options.rows))
        rows = _read(manifest, options)
        rounds = []
        for number in range(options.rounds):
            loop, ours, committed = race(rows, manifest, options, home, number)
            different = count_different(rows, home / f"loop-{number}", home / f"renderay-{number}")
            rounds.append((loop, ours, committed, different))
            print(f"round {number + 1}: loop {loop:.2f} s, renderay {ours:.2f} s", file=sys.stderr)
    _report(rounds, len(rows), options)


def race(
    rows: Sequence[Row], manifest: str, options: argparse.Namespace, home: Path, number: int
) -> tuple[float, float, float]:
    """Seconds that each side ran: the loop from first to last picture, renderay to its last picture and last commit."""
    loop_out, out = home / f"loop-{number}", home / f"renderay-{number}"
    loop_out.mkdir()
    context = multiprocessing.get_context("spawn")
    loaded, times = context.Barrier(options.processes + 1), context.Queue()
    shares = [rows[k :: options.processes] for k in range(options.processes)]
    each = [(share, options, loop_out, loaded, times) for share in shares]
    loops = [context.Process(target=plain_loop, args=arguments, daemon=True) for arguments in each]
    for process in loops:
        process.start()
    while loaded.n_waiting < options.processes:
        time.sleep(0.05)
    ours = subprocess.Popen(command(manifest, options, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any((out / "_staging").glob("*.breadcrumb")) and ours.poll() is None:
        time.sleep(0.02)  # a breadcrumb says that a batch has begun
    loop_side, our_side = Side(process.pid for process in loops), Side([ours.pid])
    our_side.pause()
    loaded.wait()
    take_turns(our_side, loop_side, options.turn, lambda: ours.poll() is None and any(p.is_alive() for p in loops))
    found = [times.get(timeout=600) for _ in loops]
    if ours.wait(timeout=600) != 0:
        sys.exit("renderay did not render every row")
    begin, end, committed = read_span(out)
    loop_seconds = loop_side.ran(min(first for first, _ in found), max(last for _, last in found))
    return loop_seconds, our_side.ran(begin, end), our_side.ran(begin, committed)


def plain_loop(rows: Sequence[Row], options: argparse.Namespace, out: Path, loaded: Any, times: Any) -> None:
    """One process of the plain loop."""
    import torch

    from workers.model import load_model

    torch.set_num_threads(1)
    pipe = load_model(MODEL, "cpu", "float32").pipe
    loaded.wait(timeout=300)
    begin = time.time()
    for row in rows:
        image = pipe(
            row.prompt,
            width=options.size,
            height=options.size,
            num_inference_steps=options.steps,
            guidance_scale=3.5,
            generator=torch.Generator("cpu").manual_seed(_seed(row)),
        ).images[0]
        image.save(out / f"{row.ordinal}.png")
    times.put((begin, time.time()))


def command(manifest: str, options: argparse.Namespace, out: Path) -> list[str]:
    """The same work for renderay."""
    size = ["--width", str(options.size), "--height", str(options.size), "--steps", str(options.steps)]
    job = [manifest, "--model", MODEL, "--out", str(out), "--limit", str(options.rows), "--seed", str(JOB_SEED)]
    how = ["--workers", str(options.processes), "--gpus", "0", "--batch-size", "1", "--guidance-scale", "3.5"]
    columns = [word for column in options.column for word in ("--column", column)]
    return [sys.executable, "-m", "renderay", "render", *job, *size, *how, *columns]


def read_span(out: Path) -> tuple[float, float, float]:
    """When renderay began its first picture, ended its last and committed the last, in seconds since the epoch."""
    table = ds.dataset(out / "images").to_table(columns=["started_at", "text_encode_ms", *_DURATIONS_MS]).to_pylist()
    # a lease's prompts are encoded before its first picture is started
    begin = min(row["started_at"] - timedelta(milliseconds=row["text_encode_ms"]) for row in table)
    end = max(row["started_at"] + timedelta(milliseconds=sum(row[name] for name in _DURATIONS_MS)) for row in table)
    committed = max(record["time"] for record in read_log(locate(str(out))) if record["kind"] == "lease")
    return begin.timestamp(), end.timestamp(), committed


def count_different(rows: Sequence[Row], loop: Path, ours: Path) -> int:
    """How many pictures differ in any pixel, or are missing on either side."""
    table = ds.dataset(ours / "images").to_table(columns=["ordinal", "image"])
    found = dict(zip(table["ordinal"].to_pylist(), table["image"].to_pylist(), strict=True))
    return sum(
        row.ordinal not in found
        or not np.array_equal(
            np.asarray(Image.open(BytesIO(found[row.ordinal]["bytes"]))),
            np.asarray(Image.open(loop / f"{row.ordinal}.png")),
        )
        for row in rows
    ) + abs(len(found) - len(rows))


def _seed(row: Row) -> int:
    return picture_seed(row.seed, JOB_SEED, row.id, 0)


def _read(manifest: str, options: argparse.Namespace) -> list[Row]:
    rows = parse_rows(find_files([manifest]), ColumnMap(options.column), RowRules(), options.rows)
    return [row for row in rows if isinstance(row, Row)]


def _report(rounds: list[tuple[float, float, float, int]], rows: int, options: argparse.Namespace) -> None:
    ratios = [loop / ours for loop, ours, _, _ in rounds]
    committed = [loop / seconds for loop, _, seconds, _ in rounds]
    different = sum(each[3] for each in rounds)
    lines = [(k + 1, rows / loop, rows / ours, ratios[k], committed[k]) for k, (loop, ours, _, _) in enumerate(rounds)]
    print(f"{rows} pictures of {options.size}x{options.size}, {options.steps} steps, {options.processes} processes")
    print_table(("round", "loop pictures/s", "renderay pictures/s", "first to last", "to last commit"), lines)
    summary, summary_committed = spread(ratios), spread(committed)
    print(f"ratio, first to last:  min {summary['min']}, median {summary['median']}, max {summary['max']}")
    print(verdict(summary["median"], TARGET))
    print(f"pictures that differ in any pixel: {different} of {rows * len(rounds)}")
    print_json(
        "throughput",
        rows=rows,
        size=options.size,
        steps=options.steps,
        processes=options.processes,
        loop_pictures_per_s=spread([line[1] for line in lines]),
        renderay_pictures_per_s=spread([line[2] for line in lines]),
        ratio=summary,
        ratio_to_last_commit=summary_committed,
        different=different,
    )
    sys.exit(1 if different else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=400, help="rows a round; of --manifest the first so many")
    parser.add_argument("--size", type=int, default=64, help="width and height in pixels")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps")
    parser.add_argument("--processes", type=int, default=cores(), help="processes, each with one torch thread")
    parser.add_argument("--rounds", type=int, default=3, help="times that both sides render everything")
    parser.add_argument(
        "--turn", type=float, default=1.0, help="seconds that a side runs before it is the other's turn"
    )
    parser.add_argument("--manifest", help="a manifest with prompts; made by default")
    parser.add_argument("--column", action="append", default=[], help="CANONICAL=NAME, as for renderay render")
    return parser.parse_args()


if __name__ == "__main__":
    # for both sides alike; Ray would run its workers at nice 15, behind whatever else the machine does
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    os.environ.setdefault("RAY_worker_niceness", "0")
    main()
