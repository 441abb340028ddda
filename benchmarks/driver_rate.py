"""What the driver costs, with workers that render nothing: leases per second, memory, and time to resume.

rate        one-row leases, each committed (group commit, one fsync a group) and published on the local disk
a million   a manifest of a million rows in leases of 64: wall time and the driver's peak memory
roll on     the same job, its end record missing as after a SIGKILL at the very end: look, compare, end
resume      the same job, the younger half of its log missing: delete what is orphaned, then render the rest
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

import _prompts
from _report import cores, print_json, print_table, spread, verdict

from jobs.commits import read_log
from manifests.storage import locate

TARGET_RATE = 300.0  # leases a second
TARGET_MB = 400.0
_CHILD = Path(__file__).with_name("_idle_job.py")


def main() -> None:
    """Measure, check the number of rows done, print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="renderay-driver-", dir=options.folder) as folder:
        home = Path(folder)
        small = _prompts.write_manifest(home / "small.jsonl", options.leases)
        rates = [measure_rate(small, home / f"rate-{k}", options) for k in range(options.rounds)]
        figures = measure_million(home, options) if options.rows else {}
    _report(rates, figures, options)


def measure_rate(manifest: Path, out: Path, options: argparse.Namespace) -> dict[str, float]:
    """Leases a second between the first and the last commit of a job of one-row leases."""
    run_job(manifest, out, options.workers, 0.0, options.leases)
    times = [record["time"] for record in worker_leases(out)]
    if len(times) != options.leases:
        sys.exit(f"{len(times)} leases committed, {options.leases} wanted")
    return {"rate": (len(times) - 1) / (max(times) - min(times))}


def measure_million(home: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """A job of many rows: whole, ended again, and resumed from half of its log."""
    manifest, out = _prompts.write_manifest(home / "million.jsonl", options.rows), home / "million"
    whole = _timed(manifest, out, options)
    log = _segments(out)[-1]
    _keep_lines(log, lambda number, record: record["kind"] != "end")
    rolled = _timed(manifest, out, options)
    leases = len(worker_leases(out))
    log = _segments(out)[0]
    for later in _segments(out)[1:]:
        later.unlink()
    _keep_lines(log, lambda number, record: record["kind"] != "end" and number < leases // 2)
    resumed = _timed(manifest, out, options)
    return {"whole": whole, "roll on": rolled, "resume": resumed}


def _timed(manifest: Path, out: Path, options: argparse.Namespace) -> dict[str, float]:
    began = time.time()
    found = run_job(manifest, out, options.workers, 3600.0, options.rows)
    ours = [record for record in worker_leases(out) if record["time"] > began]
    first = min((record["time"] for record in ours), default=began)
    return {
        "seconds": found["seconds"],
        "to_first_commit_s": first - began,
        "rendered": found["rendered"],
        "leases": len(ours),
        "peak_mb": found["peak_mb"],
    }


def run_job(manifest: Path, out: Path, workers: int, lease_seconds: float, rows: int) -> dict[str, Any]:
    """Run the job in a process of its own; what it printed."""
    command = [sys.executable, str(_CHILD), str(manifest), str(out), str(workers), str(lease_seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["done"] != rows:
        sys.exit(f"{found['done']} of {rows} rows done")
    print(f"{out.name}: {found}", file=sys.stderr)
    return found


def worker_leases(out: Path) -> list[dict[str, Any]]:
    """The records of leases that workers answered."""
    records = read_log(locate(str(out)))
    return [record for record in records if record["kind"] == "lease" and record["worker"] != "driver"]


def _segments(out: Path) -> list[Path]:
    return sorted((out / "_commits").glob("*.jsonl"))


def _keep_lines(path: Path, wanted: Any) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for number, line in enumerate(lines) if wanted(number, json.loads(line))))


def _report(rates: list[dict[str, float]], figures: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    rate = spread([each["rate"] for each in rates], 1)
    print(f"{options.leases} one-row leases, {options.workers} workers, {options.rounds} rounds")
    print_table(("", "min", "median", "max"), [("leases/s", *rate.values())])
    print(verdict(rate["median"], TARGET_RATE))
    if figures:
        print(f"\n{options.rows} rows, leases of up to 64")
        head = ("", "seconds", "s to first commit", "rows rendered", "leases", "driver peak MB")
        names = {"whole": "whole job", "roll on": "ended again", "resume": "resumed from half"}
        texts = {"seconds": ".1f", "to_first_commit_s": ".1f", "rendered": "", "leases": "", "peak_mb": ".0f"}
        lines = [(names[name], *(format(f[key], how) for key, how in texts.items())) for name, f in figures.items()]
        print_table(head, lines)
        print(verdict(max(f["peak_mb"] for f in figures.values()), TARGET_MB, at_least=False))
    asked = {"leases": options.leases, "workers": options.workers, "rows": options.rows}
    print_json("driver_rate", **asked, leases_per_s=rate, **figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--leases", type=int, default=5000, help="one-row leases a round")
    parser.add_argument("--rounds", type=int, default=3, help="times that the rate is measured")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large manifest; 0 leaves it out")
    parser.add_argument("--workers", type=int, default=max(2, cores()), help="workers that render nothing")
    parser.add_argument("--folder", help="a folder on the disk to measure; the temporary one by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
