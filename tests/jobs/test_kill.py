"""Killed for real: driver, worker, driver again; the tables come out as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import (
    actor_pids,
    assert_exact,
    committed_rows,
    digests,
    kill,
    read_table,
    run,
    wait_until,
    write_jsonl,
)

ROWS = 200


def test_killed_three_times_and_resumed_equals_an_undisturbed_run(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    rows = [{"id": f"r{k}", "prompt": f"picture number {k}", "num_images": 1 + (k % 40 == 7)} for k in range(ROWS)]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    job = [
        "render",
        manifest,
        "--model",
        "tiny:flux.1-dev",
        "--lease-seconds",
        "1",
        "--batch-size",
        "2",
        "--steps",
        "16",
    ]
    pictures = {f"r{k}": 1 + (k % 40 == 7) for k in range(ROWS)}
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "killed"

    first = start(*job, "--out", out)
    wait_until(lambda: committed_rows(out) > 0)
    second = run(*job, "--out", out)
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr and second.stderr.count("\n") == 1
    live = json.loads(run("status", out, "--json").stdout)
    assert live["state"] == "running" and live["rows"] == ROWS and live["workers"]
    kill(first.pid)
    first.wait()

    dead = json.loads(run("status", out, "--json").stdout)
    assert dead["state"] == "interrupted" and 0 < dead["done"] < ROWS and dead["left"] > 0

    resumed = start(*job, "--out", out)
    before = committed_rows(out)
    wait_until(lambda: committed_rows(out) > before + 8)
    kill(actor_pids(resumed.pid)[0])
    before = committed_rows(out)
    wait_until(lambda: committed_rows(out) > before + 8)
    kill(resumed.pid)
    resumed.wait()
    assert committed_rows(out) < ROWS, "the job was over before the last kill: give it more rows"

    last = run(*job, "--out", out)
    assert last.returncode == 0, last.stderr
    assert_exact(out, pictures)
    assert json.loads(run("status", out, "--json").stdout)["state"] == "complete"

    assert run(*job, "--out", undisturbed).returncode == 0
    assert_exact(undisturbed, pictures)
    assert digests(out) == digests(undisturbed)

    held = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = run(*job, "--out", out)
    assert again.returncode == 0 and "nothing left to render" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == held

    refused = run(*job, "--out", out, "--seed", "1")
    assert refused.returncode == 2 and "seed is 0 there and 1 now" in refused.stderr
    assert {row["worker_batch"] for row in read_table(out, "images")} >= {0, 1}
