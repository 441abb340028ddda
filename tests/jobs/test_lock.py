"""One driver a folder: on a disk the kernel says who, on an object store whoever keeps beating."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.lock import EXPIRY_SECONDS, ClaimLock, LocalLock, Owner, is_alive, lock_for, read_owner
from manifests.errors import OutputBusy
from manifests.storage import Location, locate

HOLDER = """
import sys, time
from jobs.lock import lock_for
from manifests.storage import locate
lock = lock_for(locate(sys.argv[1]), "run-first")
lock.acquire()
print("held", flush=True)
time.sleep(120)
"""


def test_a_second_process_is_refused_and_a_killed_one_gives_way_at_once(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        lock = lock_for(locate(tmp_path), "run-second")
        with pytest.raises(OutputBusy) as refused:
            lock.acquire()
        for named in (f"process {holder.pid} ", socket.gethostname(), "run-first", str(tmp_path)):
            assert named in str(refused.value)
        assert "\n" not in str(refused.value)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    began = time.monotonic()
    lock.acquire()
    assert time.monotonic() - began < 2
    owner = read_owner(locate(tmp_path))
    assert owner is not None and (owner[0].run_id, owner[0].pid) == ("run-second", os.getpid())
    lock.release()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    first, second = LocalLock(locate(tmp_path), "a"), LocalLock(locate(tmp_path), "b")
    first.acquire()
    with pytest.raises(OutputBusy):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_the_heartbeat_carries_what_the_driver_does(tmp_path: Path) -> None:
    out = locate(tmp_path)
    assert read_owner(out) is None
    lock = LocalLock(out, "a")
    lock.acquire()
    lock.beat({"rows": 5, "workers": [{"name": "w0"}]})
    found = read_owner(out)
    lock.release()
    assert found is not None and found[1] == {"rows": 5, "workers": [{"name": "w0"}]}
    assert abs(found[0].beat - time.time()) < 60


class Clock:
    """Time that passes only while someone sleeps; `on_sleep` happens meanwhile."""

    def __init__(self) -> None:
        self.now = time.time()
        self.on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()

    def lock(self, out: Location, run_id: str) -> ClaimLock:
        return ClaimLock(out, run_id, lambda: self.now, self.sleep)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(s3: str) -> Location:
    return locate(s3 + "/run-a")


def claims(out: Location) -> list[str]:
    return [info.base_name for info in (out / "_lock").list() if info.base_name.endswith(".claim")]


def test_object_stores_get_a_claim(s3: str) -> None:
    assert isinstance(lock_for(locate(s3 + "/x"), "a"), ClaimLock)


def test_a_claim_that_beats_refuses_the_second_driver_by_name(bucket: Location, clock: Clock) -> None:
    first, second = clock.lock(bucket, "first"), clock.lock(bucket, "second")
    first.acquire()
    clock.now += 3
    clock.on_sleep = lambda: first.beat({"rows": 1})
    began = clock.now
    with pytest.raises(OutputBusy, match="run first"):
        second.acquire()
    assert clock.now - began <= 2, "one beat is enough"
    assert claims(bucket) == ["first.claim"]


def test_a_silent_claim_is_waited_for_and_then_taken_over(bucket: Location, clock: Clock) -> None:
    dead = clock.lock(bucket, "dead")
    dead.acquire()
    clock.now += 12
    began = clock.now
    clock.lock(bucket, "heir").acquire()
    assert EXPIRY_SECONDS - 13 <= clock.now - began <= EXPIRY_SECONDS
    assert claims(bucket) == ["heir.claim"]


def test_an_expired_claim_is_taken_over_at_once_and_its_driver_stops(bucket: Location, clock: Clock) -> None:
    late, heir = clock.lock(bucket, "late"), clock.lock(bucket, "heir")
    late.acquire()
    late.beat({"rows": 1})
    clock.now += EXPIRY_SECONDS + 1
    began = clock.now
    heir.acquire()
    assert clock.now == began
    with pytest.raises(OutputBusy):
        late.beat({"rows": 2})
    heir.beat({"rows": 2})
    late.release()
    assert claims(bucket) == ["heir.claim"]


def test_a_released_claim_leaves_the_folder_free(bucket: Location, clock: Clock) -> None:
    first = clock.lock(bucket, "first")
    first.acquire()
    first.release()
    began = clock.now
    clock.lock(bucket, "second").acquire()
    assert clock.now == began


def test_whoever_claims_after_another_has_looked_around_still_sees_it(bucket: Location, clock: Clock) -> None:
    quick = clock.lock(bucket, "quick")
    calls = 0

    def now() -> (
        float
    ):  # the second time is asked for when the slow one has found no claim and is about to write its own
        nonlocal calls
        calls += 1
        if calls == 2:
            quick.acquire()
        return clock.now

    with pytest.raises(OutputBusy, match="run quick"):
        ClaimLock(bucket, "slow", now, clock.sleep).acquire()
    assert calls >= 2 and claims(bucket) == ["quick.claim"]


def test_of_two_at_once_at_most_one_wins(bucket: Location) -> None:
    def give_up(_seconds: float) -> None:
        raise OutputBusy("waiting")

    wins = []
    for trial in range(12):
        out, gate = bucket / str(trial), threading.Barrier(2)
        won: list[str] = []

        def claim(run_id: str, out: Location = out, gate: threading.Barrier = gate, won: list[str] = won) -> None:
            gate.wait()
            try:
                ClaimLock(out, run_id, time.time, give_up).acquire()
            except OutputBusy:
                return
            won.append(run_id)

        threads = [threading.Thread(target=claim, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wins.append(len(won))
        assert len(claims(out)) == len(won)
    assert max(wins) <= 1


def test_a_claim_caught_while_it_is_rewritten_is_not_taken_for_dead(bucket: Location, clock: Clock) -> None:
    torn = bucket / "_lock" / "first.claim"  # a reader that asks for the size and then for the bytes can see this
    torn.write_bytes(b'{"run_id": "first", "host": "h", "pid": 1, "beat": 1795373241.30')
    began = clock.now
    try:
        clock.lock(bucket, "second").acquire()
    except OutputBusy:
        assert torn.exists()
    else:
        assert clock.now - began >= EXPIRY_SECONDS / 2, "a live driver lost its claim"


@pytest.mark.parametrize(
    ("host", "pid", "age", "alive"),
    [
        (None, None, 0, True),
        (None, None, EXPIRY_SECONDS + 1, False),  # hangs, or another process has its number now
        (None, 2**22 - 1, 0, False),  # no such process
        ("elsewhere", 2**22 - 1, 0, True),
        ("elsewhere", 1, EXPIRY_SECONDS + 1, False),
    ],
)
def test_a_driver_lives_by_its_process_here_and_by_its_heartbeat_elsewhere(
    host: str | None, pid: int | None, age: float, alive: bool
) -> None:
    now = datetime.now(UTC)
    owner = Owner("a", host or socket.gethostname(), pid or os.getpid(), now.timestamp() - age)
    assert is_alive(owner, now) is alive


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"run_id": "a", "host": "h", "pid": "x", "beat": 1}'])
def test_a_damaged_heartbeat_is_no_heartbeat(tmp_path: Path, data: bytes) -> None:
    out = locate(tmp_path)
    (out / "_lock" / "driver.json").write_bytes(data)
    assert read_owner(out) is None
