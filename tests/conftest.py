"""What tests share: the command as a subprocess, the tables read by a plain glob, and the check that they are exact."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu skip where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


def command(*arguments: str | Path) -> list[str]:
    """The renderay command of this checkout."""
    return [sys.executable, "-m", "renderay", *map(str, arguments)]


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run renderay to its end."""
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, **options
    )


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start renderay in the background; what still runs at the test's end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a test run in the background of a shell ignores SIGINT, and would hand that on
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a JSON Lines manifest."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_table(out: Path, table: str) -> list[dict[str, Any]]:
    """Every row of a table, by a plain glob."""
    return [row for path in sorted(out.glob(f"{table}/*.parquet")) for row in pq.read_table(path).to_pylist()]


def digests(out: Path) -> dict[tuple[str, int], str]:
    """The sha256 of every picture by id and image index."""
    return {(row["id"], row["image_index"]): row["sha256"] for row in read_table(out, "images")}


def assert_exact(out: Path, pictures: dict[str, int], failed: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """The tables hold each id's pictures once, its steps once, each failed id once, and nothing else."""
    images, steps, errors = (read_table(out, table) for table in ("images", "steps", "errors"))
    found = Counter((row["id"], row["image_index"]) for row in images)
    assert found == Counter({(name, k): 1 for name, count in pictures.items() for k in range(count)})
    wanted = Counter((row["id"], row["image_index"], step) for row in images for step in range(row["steps"]))
    assert Counter((row["id"], row["image_index"], row["step"]) for row in steps) == wanted
    assert Counter(row["id"] for row in errors) == Counter(failed)
    assert list(out.glob("_staging/*")) == []


def committed_rows(out: Path) -> int:
    """How many rows the log says are done; 0 while there is no log."""
    from jobs.commits import read_log
    from jobs.ledger import Ledger
    from manifests.storage import locate

    return Ledger(read_log(locate(out))).done.count


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for a condition; the test fails where it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def actor_pids(driver: int) -> list[int]:
    """The processes of one driver's render workers, found among its descendants."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
                names[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            parents[int(entry.name)] = int(status.rsplit(")", 1)[1].split()[1])

    def descends(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == driver:
                return True
        return False

    return [pid for pid, name in names.items() if name.startswith("ray::RenderActor") and descends(pid)]


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)
