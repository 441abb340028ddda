"""The state of a job from its folder alone."""

from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.commits import CommitLog, Record, end_record, lease_record, run_record
from jobs.jobfile import new_job_file
from jobs.spec import make_spec
from jobs.status import read_status
from manifests.errors import OutputError
from manifests.storage import Location, locate
from manifests.survey import Survey
from workers.settings import LeaseResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATE = {
    "rate": 2.5,
    "eta": 65.0,
    "workers": [{"name": "w0", "stage": "denoise", "step": 2, "steps": 4, "pictures": 7}],
}
LEASE = lease_record(LeaseResult("a", "w0", (0, 1, 2), (3,), 5, 1.0, ()), NOW)


@pytest.fixture(params=["local", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return locate(tmp_path if request.param == "local" else request.getfixturevalue("s3") + "/run-a")


def job(out: Location, *records: Record) -> None:
    spec = make_spec(manifest=("m.jsonl",), model="tiny:flux.1-dev", out=out.uri)
    new_job_file(spec, [], Survey(10, {}), NOW).write(out)
    log = CommitLog(out, "run")
    log.append(records)
    log.close()


def driver(out: Location, **changes: Any) -> None:
    owner = {"run_id": "run", "host": socket.gethostname(), "pid": os.getpid(), "beat": time.time(), "state": STATE}
    (out / "_lock" / "driver.json").write_bytes(json.dumps(owner | changes).encode())


def test_a_running_job_tells_rate_left_and_workers(out: Location) -> None:
    job(out, run_record("run", 10, NOW), LEASE)
    driver(out)
    status = read_status(out.uri)
    assert (status.state, status.rows, status.done, status.failed, status.left, status.pictures) == (
        "running", 10, 3, 1, 6, 5,
    )  # fmt: skip
    assert (status.rate, status.eta, status.workers) == (2.5, 65.0, STATE["workers"])
    lines = status.text().splitlines()
    assert lines[0] == f"{out.uri}: running"
    assert "rows      3 done, 1 failed, 6 left of 10" in lines
    assert "rate      2.50 pictures/s" in lines and "left      about 0:01:05" in lines
    assert "worker    w0 denoise step 2/4, 7 pictures" in lines
    assert f"process {os.getpid()} on {socket.gethostname()}" in status.text()
    assert json.loads(json.dumps(status.as_json()))["eta"] == 65.0


@pytest.mark.parametrize("changes", [{"pid": 2**22 - 1}, {"beat": 0.0}, {"host": "elsewhere", "beat": 0.0}])
def test_a_dead_driver_leaves_an_interrupted_job_without_a_rate(out: Location, changes: dict[str, Any]) -> None:
    job(out, run_record("run", 10, NOW), LEASE)
    driver(out, **changes)
    status = read_status(out.uri)
    assert (status.state, status.done, status.left) == ("interrupted", 3, 6)
    assert (status.rate, status.eta, status.driver, status.workers) == (None, None, None, [])
    assert "resumes" in status.text()
    assert status.heard and f"heard of last at {status.heard}" in status.text() and status.heard.endswith(" UTC")


def test_a_finished_job_is_complete_though_its_process_lives_on(out: Location) -> None:
    job(out, run_record("run", 4, NOW), LEASE, end_record(4, NOW))
    driver(out)
    status = read_status(out.uri)
    assert (status.state, status.rows, status.left, status.rate) == ("complete", 4, 0, None)
    assert status.heard is None and f"why       renderay report {out.uri}" in status.text()


def test_a_job_before_its_first_commit_has_all_rows_left(out: Location) -> None:
    job(out)
    status = read_status(out.uri)
    assert (status.state, status.rows, status.left) == ("interrupted", 10, 10)


def test_a_folder_without_a_job_is_refused(out: Location) -> None:
    with pytest.raises(OutputError, match="no job in it"):
        read_status(out.uri)
