"""SIGTERM, with which schedulers and `ray job stop` ask a program to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from manifests.errors import JobStopped


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the run in order, as an error does."""
    terminated = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        raise KeyboardInterrupt  # inside ray.wait any other error becomes a SystemError

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    except KeyboardInterrupt as error:
        if not terminated:
            raise
        raise JobStopped("stopped by SIGTERM; the same command resumes") from error
    finally:
        signal.signal(signal.SIGTERM, before)
