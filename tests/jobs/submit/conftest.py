"""A Ray cluster of its own, with a job server: real processes, all ended afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

TOKEN = "of-the-test-cluster-alone-0123456789"


@dataclass(frozen=True)
class Cluster:
    """A cluster's job server, asked without Ray's client, whose settings would stay in this process."""

    url: str

    def ask(self, path: str, method: str = "GET") -> Any:
        """What it answers, from JSON."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(f"{self.url}/api/jobs/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def job(self, submission_id: str) -> dict[str, Any]:
        """A job's status, exit code and metadata."""
        return dict(self.ask(submission_id))

    def log(self, submission_id: str) -> str:
        """A job's log as far as it goes."""
        return str(self.ask(f"{submission_id}/logs")["logs"])

    def ended(self, submission_id: str) -> Callable[[], bool]:
        """Whether a job has ended, to wait for."""
        return lambda: self.job(submission_id)["status"] not in ("PENDING", "RUNNING")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster on this machine that asks for a token, which this process has."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "token").write_text(TOKEN)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "http_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(folder / "token"))
        with _head(folder) as head:
            yield head


@contextlib.contextmanager
def _head(folder: Path) -> Iterator[Cluster]:
    dashboard, client = _free_port(), _free_port()
    command = [
        Path(sys.executable).parent / "ray", "start", "--head", "--block", "--disable-usage-stats",
        "--num-cpus=2", "--port=0", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
        "--dashboard-agent-listen-port=0", "--min-worker-port=0", "--max-worker-port=0",
        "--object-store-memory=100000000",
    ]  # fmt: skip
    # as on a machine that has renderay's packages and not its code
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": ""}
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        head = Cluster(f"http://127.0.0.1:{dashboard}")
        _wait_for(head, process, folder / "ray.log")
        yield head
    finally:
        _end(process)


def _free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(head: Cluster, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            head.ask("")
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Every process of the cluster: Ray's own end first, then what is left of its descendants."""
    descendants = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    _, alive = psutil.wait_procs(descendants, timeout=5)
    for left in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    process.kill()
    process.wait()
