"""Following a job: the log arrives once whatever breaks off, and the status is the render's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from jobs.submit import follow as module
from jobs.submit.follow import exit_code_of, follow
from manifests.errors import JobStopped, SpecError


def info(status: JobStatus, code: int | None = None, error_type: str | None = None, message: str = "") -> Any:
    return SimpleNamespace(
        submission_id="job-1", status=status, driver_exit_code=code, error_type=error_type, message=message
    )


class BrokenConnection:
    """Stands for Ray's client; its tail breaks off at each of the places given, then goes to the end."""

    def __init__(self, log: str, places: list[int]) -> None:
        self._log, self._places = log, places

    async def tail_job_logs(self, submission_id: str) -> AsyncIterator[str]:
        end = self._places.pop(0) if self._places else None
        for begin in range(0, len(self._log) if end is None else end, 3):
            yield self._log[begin : min(begin + 3, end or len(self._log))]
        if end is not None:
            raise RuntimeError("WebSocket connection closed unexpectedly")

    def get_job_info(self, submission_id: str) -> Any:
        return info(JobStatus.FAILED, 3)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.0)


def followed(*given: Any) -> int:
    """follow(*given) in a thread of its own: the browser of other tests leaves an event loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(follow, *given).result()


def test_a_log_that_breaks_off_is_written_once() -> None:
    written: list[str] = []
    assert followed(BrokenConnection("0123456789", [4, 0, 2, 9]), "job-1", written.append) == 3
    assert "".join(written) == "0123456789"


def test_a_server_that_is_gone_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.0)
    with pytest.raises(JobStopped, match=r"^job job-1: its server does not answer any more: WebSocket"):
        followed(BrokenConnection("0123", [1] * 1000), "job-1", lambda text: None)


def test_an_error_of_the_terminal_is_no_lost_connection() -> None:
    def write(text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        followed(BrokenConnection("0123", []), "job-1", write)


def test_the_exit_status_is_that_of_the_render_or_an_error_tells_why_there_is_none() -> None:
    assert exit_code_of(info(JobStatus.SUCCEEDED, 0)) == 0
    assert exit_code_of(info(JobStatus.FAILED, 2)) == 2
    with pytest.raises(JobStopped, match="stopped from outside; the same command resumes"):
        exit_code_of(info(JobStatus.STOPPED))
    with pytest.raises(JobStopped, match="ended by signal 9"):
        exit_code_of(info(JobStatus.FAILED, -9))
    with pytest.raises(SpecError, match="cannot make its runtime environment: no such package"):
        exit_code_of(info(JobStatus.FAILED, None, "RUNTIME_ENV_SETUP_FAILURE", "no such\npackage"))
    with pytest.raises(JobStopped, match="failed: the node died; the same command resumes"):
        exit_code_of(info(JobStatus.FAILED, None, "JOB_SUPERVISOR_ACTOR_DIED", "the node died"))
