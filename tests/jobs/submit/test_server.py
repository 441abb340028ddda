"""Addresses of job servers, what a user adds to a job's environment, and a server that does not take a job at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.spec import make_spec
from jobs.submit import server as module
from jobs.submit.reach import resolve
from jobs.submit.runtime_env import read_runtime_env
from jobs.submit.server import JobServer, parse_address
from manifests.errors import JobStopped, SpecError


@pytest.mark.parametrize("address", ["auto", "head", "ray://head:10001", "http://head:port", "http://:8265", "head:1x"])
def test_an_address_that_is_no_url_of_a_job_server_is_refused(address: str) -> None:
    with pytest.raises(SpecError, match=f"^address {address}: must be the URL of the cluster's job server"):
        parse_address(address)


def test_an_address_needs_no_scheme_beside_a_port() -> None:
    assert parse_address("head:8265") == parse_address("http://head:8265/") == "http://head:8265"
    assert parse_address("https://cluster.example/ray") == "https://cluster.example/ray"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a", "must map fields of a Ray runtime environment to values"),
        ("a: [", "not YAML: "),
        ("working_dir: .", "working_dir: renderay's own code travels in it; leave it out"),
        ("env_vars: [A]", "env_vars: must map names to values"),
    ],
)
def test_a_wrong_runtime_environment_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "env.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as refused:
        read_runtime_env(str(file))
    assert str(refused.value).startswith(f"runtime-env {file}: {reason}") and "\n" not in str(refused.value)


class BusyClient:
    """Stands for Ray's client; its server answers with these errors first."""

    def __init__(self, *errors: str) -> None:
        self._errors = list(errors)
        self.taken: dict[str, Any] = {}

    def submit_job(self, **job: Any) -> None:
        if self._errors:
            raise RuntimeError(f"Request failed with status code 500: {self._errors.pop(0)}")
        assert Path(job["runtime_env"]["working_dir"], "job.yaml").is_file()
        self.taken = job


def send(client: BusyClient) -> None:
    spec = make_spec(manifest=("s3://b/m.jsonl",), model="tiny:flux.1-dev", out="s3://b/o")
    added = {"env_vars": {"A": "1"}, "pip": ["x"]}
    JobServer("http://head:8265", client).send("job-1", spec, resolve(spec, []), added, dry_run=False)


def test_a_server_without_machines_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    client = BusyClient("No available agent to submit job", "No available agent to submit job")
    send(client)
    assert client.taken["submission_id"] == "job-1" and client.taken["runtime_env"]["pip"] == ["x"]
    assert client.taken["runtime_env"]["env_vars"] == {"A": "1", "RAY_JOB_STOP_WAIT_TIME_S": "60"}


def test_a_job_that_is_not_taken_is_one_line() -> None:
    with pytest.raises(JobStopped, match=r"^job job-1: not taken by http://head:8265: .* full\Z"):
        send(BusyClient("disk\nfull"))
