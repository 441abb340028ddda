"""Ray's job server, which the dashboard of a cluster's head node is: reach it, send a job."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobs.spec import JobSpec
from jobs.submit.bundle import OPTIONS, write_bundle
from jobs.submit.reach import Reach
from manifests.errors import JobStopped, SpecError, one_line

_CONNECT_SECONDS = 10.0
_START_SECONDS = 30.0  # a new cluster's job server answers before its first machine can take jobs
_STOP_SECONDS = "60"  # from SIGTERM to SIGKILL of `ray job stop`: its own 3 may cut the orderly end short
_EXAMPLE = "as http://HEAD:8265, the port of its dashboard"
_CHATTY = (  # loggers that set their own level, INFO, when they are imported
    "ray",
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


@dataclass(frozen=True)
class JobServer:
    """A job server that answers: its URL, Ray's client for it, and what a shell must set for `ray job` to get in."""

    url: str
    client: Any
    environment: str = ""

    def send(
        self, submission_id: str, spec: JobSpec, reach: Reach, runtime_env: Mapping[str, Any], dry_run: bool
    ) -> None:
        """Upload the job's folder and submit the job. JobStopped where the server does not take it."""
        environment = {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_SECONDS} | dict(runtime_env.get("env_vars") or {})
        # exec: the exit status, and the SIGTERM of `ray job stop`, are then the render's own, not a shell's
        entrypoint = f"exec $(command -v python || echo python3) -m jobs.submit.entrypoint render --config {OPTIONS}"
        with tempfile.TemporaryDirectory(prefix="renderay-submit-") as folder:
            write_bundle(Path(folder), spec, reach)
            try:
                self._submit(
                    entrypoint=f"{entrypoint} --dry-run" if dry_run else entrypoint,
                    submission_id=submission_id,
                    runtime_env={**runtime_env, "env_vars": environment, "working_dir": folder},
                    metadata={"renderay_out": reach.out, "renderay_model": reach.model},
                )
            except (ValueError, TypeError) as error:  # Ray checks the runtime environment before it sends
                raise SpecError(f"runtime-env: {one_line(error, 300)}") from error
            except Exception as error:
                raise JobStopped(f"job {submission_id}: not taken by {self.url}: {one_line(error, 300)}") from error

    def _submit(self, **job: Any) -> None:
        """Submit, again and again while the cluster has only just started."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.client.submit_job(**job)
                return
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(1.0)

    def hints(self, submission_id: str) -> str:
        """The commands that show and stop a job."""
        job = f"--address {self.url} {submission_id}"
        return f"log: `{self.environment}ray job logs --follow {job}`; stop: `{self.environment}ray job stop {job}`"


def parse_address(text: str | None) -> str:
    """The job server's URL, without a slash at its end. SpecError where it is none."""
    if not text:
        raise SpecError(f"address: not given; use --address with the URL of the cluster's job server, {_EXAMPLE}")
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and (parts.port or "://" in text)
    except ValueError:  # a port that is no number
        complete = False
    if not complete:
        raise SpecError(f"address {text}: must be the URL of the cluster's job server, {_EXAMPLE}")
    return url.rstrip("/")


def connect(url: str) -> JobServer:
    """Reach a job server. SpecError, one line, where none that lets us in answers within seconds."""
    _require_listening(url)
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    environment = _send_token_if_there_is_one()
    os.environ["RAY_API_SERVER_ADDRESS"] = url  # else this variable or RAY_ADDRESS, where set, wins over the argument
    try:
        return JobServer(url, JobSubmissionClient(url), environment)
    except AuthenticationError as error:
        raise SpecError(
            f"address {url}: the cluster wants a token, and none it knows is here; set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN to what `ray get-auth-token` prints on its head node"
        ) from error
    except Exception as error:  # whatever else listens there
        raise SpecError(
            f"address {url}: what answers there is no Ray job server ({one_line(error, 200)}); give its URL, {_EXAMPLE}"
        ) from error


def _require_listening(url: str) -> None:
    """Ray's client has no time limit of its own. What is behind a proxy cannot be asked this way."""
    parts = urlsplit(url)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        raise SpecError(
            f"address {url}: nobody answers there ({one_line(error)}); give the URL of the cluster's job server, "
            f"{_EXAMPLE}, which `ray start --head --dashboard-host 0.0.0.0` opens to other machines"
        ) from error


def _send_token_if_there_is_one() -> str:
    """Do as `ray start` does for its cluster, where RAY_AUTH_MODE is not set; Ray's own client leaves it out."""
    asked = "RAY_AUTH_MODE" in os.environ
    with contextlib.suppress(ImportError):  # private to Ray, for want of a public way
        from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

        if maybe_enable_token_auth_if_token_available(warn_if_disabled=False) and not asked:
            return "RAY_AUTH_MODE=token "
    return ""
