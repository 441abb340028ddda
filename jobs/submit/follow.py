"""The log of a submitted job until it ends, and how its render ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from manifests.errors import JobStopped, RenderayError, SpecError, one_line

_PATIENCE_SECONDS = 60.0  # of a job server that does not answer
_POLL_SECONDS = 0.5


class _ConnectionLost(Exception):
    """The job server did not answer, or broke off."""


def follow(client: Any, submission_id: str, write: Callable[[str], object]) -> int:
    """Hand the job's log to `write` as it grows; the exit status of its render, once it has ended.

    Raises JobStopped where the job was stopped or its machine lost, or the server is gone for a minute; SpecError
    where its runtime environment could not be made.
    """
    return asyncio.run(_follow(client, submission_id, write))


async def _follow(client: Any, submission_id: str, write: Callable[[str], object]) -> int:
    written = 0
    heard = time.monotonic()
    while True:
        begin = 0
        try:
            async for chunk in _log(client, submission_id):
                fresh = chunk[max(0, written - begin) :]
                begin += len(chunk)
                if fresh:
                    write(fresh)
                    written += len(fresh)
            info = _asked(client, submission_id)
        except _ConnectionLost as error:
            if time.monotonic() - heard > _PATIENCE_SECONDS:
                raise JobStopped(f"job {submission_id}: its server does not answer any more: {error}") from error
        else:
            heard = time.monotonic()
            if info.status.is_terminal():
                return exit_code_of(info)
        await asyncio.sleep(_POLL_SECONDS)


async def _log(client: Any, submission_id: str) -> AsyncIterator[str]:
    """The log from its first character on, as it grows."""
    try:
        async for chunk in client.tail_job_logs(submission_id):
            yield chunk
    except Exception as error:  # of several libraries, so of many types
        raise _ConnectionLost(one_line(error, 200)) from error


def _asked(client: Any, submission_id: str) -> Any:
    try:
        return client.get_job_info(submission_id)
    except Exception as error:
        raise _ConnectionLost(one_line(error, 200)) from error


def exit_code_of(info: Any) -> int:
    """The exit status of the render in a job that has ended; an error where the job ended otherwise."""
    status, code = str(info.status.value), info.driver_exit_code
    if status == "STOPPED":
        raise JobStopped(f"job {info.submission_id}: stopped from outside; the same command resumes")
    if code is not None and code >= 0:
        return int(code)
    raise _unended(info, code)


def _unended(info: Any, code: int | None) -> RenderayError:
    name = f"job {info.submission_id}"
    if code is not None:
        return JobStopped(f"{name}: ended by signal {-code}; the same command resumes")
    reason = one_line(RuntimeError(info.message or "no reason given"), 300)
    if str(info.error_type).startswith("RUNTIME_ENV"):
        return SpecError(f"{name}: Ray cannot make its runtime environment: {reason}")
    return JobStopped(f"{name}: failed: {reason}; the same command resumes")
