"""One driver an output folder.

Locally an operating-system lock, which dies with its process, so that a resume right after SIGKILL works. On object
stores a claim with a heartbeat: a driver that died holds the folder until its claim expires, so the next one waits for
that long. Either way `_lock/driver.json` says who works, for the message and for `renderay status`.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from filelock import FileLock, Timeout

from manifests.errors import OutputBusy
from manifests.storage import Location

FOLDER = "_lock"
BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 30.0


@dataclass(frozen=True)
class Owner:
    """Who drives: `beat` is the UTC time of the last heartbeat, in seconds since the epoch."""

    run_id: str
    host: str
    pid: int
    beat: float

    def __str__(self) -> str:
        age = max(0.0, time.time() - self.beat)
        return f"process {self.pid} on {self.host} (run {self.run_id}, heard of {age:.0f} s ago)"


class DriverLock(Protocol):
    """Held by the driver from before it reads the log until it ends."""

    def acquire(self) -> None:
        """Take the lock; OutputBusy, naming the owner, where another driver has it."""

    def beat(self, state: dict[str, Any]) -> None:
        """Say that this driver is alive and what it is doing; OutputBusy where the claim was lost."""

    def release(self) -> None:
        """Give the lock back."""


def lock_for(out: Location, run_id: str) -> DriverLock:
    """The kind of lock that suits the output folder."""
    return LocalLock(out, run_id) if out.is_local else ClaimLock(out, run_id)


class LocalLock:
    """flock on `_lock/driver.lock`, which the kernel releases when the process ends, however it ends."""

    def __init__(self, out: Location, run_id: str) -> None:
        self._out, self._run_id = out, run_id
        (out / FOLDER).make_folder()
        self._lock = FileLock((out / FOLDER / "driver.lock").path, timeout=0)

    def acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            owner = read_owner(self._out)
            raise busy(self._out, str(owner[0]) if owner else "another driver") from None
        self.beat({})

    def beat(self, state: dict[str, Any]) -> None:
        _write_owner(self._out, self._run_id, state)

    def release(self) -> None:
        self._lock.release()


class ClaimLock:
    """A claim object of its own a driver; whoever sees another live claim beside its own withdraws.

    Object stores list what was written before, so of two drivers that claim at once at least one sees the other.
    `now` and `sleep` are arguments so that tests need not wait.
    """

    def __init__(
        self,
        out: Location,
        run_id: str,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._out, self._run_id = out, run_id
        self._now, self._sleep = now, sleep
        self._claim = out / FOLDER / f"{run_id}.claim"

    def acquire(self) -> None:
        self._wait_for_silence()
        self._claim.write_bytes(_owner_json(self._run_id, self._now(), {}))
        others = self._live_claims()
        if others:
            self._claim.delete()
            raise busy(self._out, str(others[0]))
        _write_owner(self._out, self._run_id, {})

    def _wait_for_silence(self) -> None:
        """Wait while a claim is silent but not yet expired; one that beats meanwhile belongs to a live driver."""
        seen = {owner.run_id: owner for owner in self._live_claims()}
        until = self._now() + EXPIRY_SECONDS
        while seen and self._now() < until:
            self._sleep(1.0)
            live = {owner.run_id: owner for owner in self._live_claims()}
            beating = [owner for name, owner in live.items() if name not in seen or owner.beat > seen[name].beat]
            if beating:
                raise busy(self._out, str(beating[0]))
            seen = live

    def _live_claims(self) -> list[Owner]:
        found = []
        for info in (self._out / FOLDER).list():
            location = self._out / FOLDER / info.base_name
            if not info.base_name.endswith(".claim") or location.path == self._claim.path:
                continue
            owner = _parse_owner(location)
            if owner is None and not location.exists():
                continue
            # one that cannot be read is being rewritten, or its store has a bad moment: its age decides
            beat = owner.beat if owner else info.mtime.timestamp()
            if self._now() - beat > EXPIRY_SECONDS:
                location.delete()  # a driver that comes back to life finds its claim gone, and stops
            else:
                found.append(owner or Owner(info.base_name.removesuffix(".claim"), "an unknown host", 0, beat))
        return found

    def beat(self, state: dict[str, Any]) -> None:
        if state and not self._claim.exists():
            raise busy(self._out, "another driver, which took this one for dead,")
        self._claim.write_bytes(_owner_json(self._run_id, self._now(), {}))
        _write_owner(self._out, self._run_id, state)

    def release(self) -> None:
        self._claim.delete()


def busy(out: Location, who: str) -> OutputBusy:
    """The error of the second driver."""
    return OutputBusy(f"{out.uri}: {who} is rendering into it; wait for it, stop it, or give another --out")


def read_owner(out: Location) -> tuple[Owner, dict[str, Any]] | None:
    """The last driver heard of, and what it said it was doing; None where there was none."""
    location = out / FOLDER / "driver.json"
    owner = _parse_owner(location)
    if owner is None:
        return None
    try:
        return owner, dict(json.loads(location.read_bytes()).get("state", {}))
    except (OSError, ValueError):
        return owner, {}


def is_alive(owner: Owner, now: datetime) -> bool:
    """Whether the driver lives: by its process where it is on this machine, else by its heartbeat."""
    if owner.host == socket.gethostname():
        try:
            os.kill(owner.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
    return now.timestamp() - owner.beat < EXPIRY_SECONDS


def _write_owner(out: Location, run_id: str, state: dict[str, Any]) -> None:
    (out / FOLDER / "driver.json").write_bytes(_owner_json(run_id, datetime.now(UTC).timestamp(), state))


def _owner_json(run_id: str, now: float, state: dict[str, Any]) -> bytes:
    # of fixed width: a reader that learnt the size of one beat may get the bytes of the next
    who = {"run_id": run_id, "host": socket.gethostname(), "pid": os.getpid(), "beat": f"{now:.6f}"}
    return json.dumps(who | {"state": state}).encode()


def _parse_owner(location: Location) -> Owner | None:
    try:
        found = json.loads(location.read_bytes())
        return Owner(str(found["run_id"]), str(found["host"]), int(found["pid"]), float(found["beat"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
