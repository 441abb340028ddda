"""Two programs taking turns on one machine: while one runs, the other is stopped (SIGSTOP).

On a shared machine the speed of a core changes by half from minute to minute, more than what is to be measured. In
turns of a second both programs meet the same neighbours, and the time that a program was stopped is not counted.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable

import psutil


class Side:
    """A program: `roots` are its processes, whose descendants belong to it."""

    def __init__(self, roots: Iterable[int]) -> None:
        self._roots = list(roots)
        self._pauses: list[tuple[float, float]] = []
        self._paused_at: float | None = None

    def pause(self) -> None:
        """Stop all its processes."""
        self._signal(signal.SIGSTOP)
        self._paused_at = time.time()

    def go(self) -> None:
        """Let all its processes run."""
        if self._paused_at is not None:
            self._pauses.append((self._paused_at, time.time()))
            self._paused_at = None
        self._signal(signal.SIGCONT)

    def ran(self, begin: float, end: float) -> float:
        """Seconds between two instants (since the epoch) in which it was not stopped."""
        return end - begin - sum(max(0.0, min(end, b) - max(begin, a)) for a, b in self._pauses)

    def _signal(self, number: int) -> None:
        for root in self._roots:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(root)
                for each in [process, *process.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        each.send_signal(number)


def take_turns(first: Side, second: Side, seconds: float, both_run: Callable[[], bool]) -> None:
    """Let two sides run in turns of so many seconds until one has ended; then the other runs on. `first` is stopped."""
    running, waiting = second, first
    try:
        while both_run():
            time.sleep(seconds)
            running.pause()
            waiting.go()
            running, waiting = waiting, running
    finally:
        first.go()
        second.go()
