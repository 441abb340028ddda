"""Rates, estimates and how they are shown."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.commits import lease_record
from jobs.ledger import Ledger
from jobs.pool import Member, WorkerPool
from jobs.progress import (
    Display,
    LiveDisplay,
    PlainDisplay,
    Progress,
    Snapshot,
    WorkerLine,
    display_for,
    duration,
    snapshot,
)
from tests.rows import lease_of, make_row
from workers.settings import LeaseResult, WorkerState


def finish(ledger: Ledger, *done: int, failed: tuple[int, ...] = ()) -> None:
    result = LeaseResult("x", "w", done, failed, 2 * len(done), 1.0, ())
    ledger.apply(lease_record(result, datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.fixture
def pool() -> WorkerPool:
    return WorkerPool(None, {}, lambda worker_id: None, {}, "run")  # type: ignore[arg-type,return-value]


def test_rates_count_from_the_first_commit_so_that_loading_does_not_distort_them(pool: WorkerPool) -> None:
    ledger = Ledger()
    finish(ledger, 0, 1)  # an earlier run
    progress = Progress(12, 2, 4, started=100.0)
    state = snapshot(progress, ledger, pool, 160.0)
    assert (state.done, state.rate, state.eta, state.elapsed) == (2, None, None, 60.0)
    finish(ledger, 2)
    assert snapshot(progress, ledger, pool, 161.0).rate is None
    finish(ledger, 3, 4, failed=(5,))
    state = snapshot(progress, ledger, pool, 171.0)
    assert (state.done, state.failed, state.pictures) == (5, 1, 10)
    assert state.rate == pytest.approx(4 / 10)  # pictures a second
    assert state.eta == pytest.approx((12 - 6) * 10 / 3)  # failed rows are finished too


def test_rows_beyond_the_limit_are_not_counted(pool: WorkerPool) -> None:
    ledger = Ledger()
    finish(ledger, 0, 5, 6, failed=(1, 9))
    state = snapshot(Progress(4, 2, 0, 0.0), ledger, pool, 1.0)
    assert (state.done, state.failed) == (1, 1)


def member(name: str, where: str, busy: bool = False, **state: Any) -> Member:
    leases = {"reference": lease_of(make_row())} if busy else {}
    return Member(f"20260101T000000-ab12-{name}", None, where, None, leases, WorkerState(**state))


def test_a_worker_shows_what_it_does(pool: WorkerPool) -> None:
    for each in (
        member("w0", "starting"),
        member("w1", "deciding"),
        member("w2", "ready"),
        member("w3", "ready", True, stage="denoise", step=3, steps=9, pictures=5),
    ):
        pool.members[each.worker_id] = each
    state = snapshot(Progress(4, 0, 0, 0.0), Ledger(), pool, 1.0)
    assert state.workers == (
        WorkerLine("w0", "loading", 0, 0, 0, 0),
        WorkerLine("w1", "deciding", 0, 0, 0, 0),
        WorkerLine("w2", "idle", 0, 0, 0, 0),
        WorkerLine("w3", "denoise", 5, 3, 9, 1),
    )
    assert json.loads(json.dumps(state.as_json()))["workers"][3]["step"] == 3


LINE = WorkerLine("w[0]", "denoise", 5, 3, 9, 1)
STATE = Snapshot(10, 3, 1, 6, 1.5, 3725.4, 60.0, (LINE, WorkerLine("w1", "loading", 0, 0, 0, 0)))


def test_a_state_is_one_line() -> None:
    assert STATE.line() == "4/10 rows, 1 failed, 1.50 pictures/s, about 1:02:05 left, 1/2 workers"
    young = Snapshot(10, 0, 0, 0, None, None, 0.0, ())
    assert young.line() == "0/10 rows, 0 failed, no rate yet, time left unknown, 0/0 workers"
    assert duration(90061) == "1 day, 1:01:01"


def test_plain_lines_come_at_once_and_then_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay() as display:
        for _ in range(50):
            display.update(STATE)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", STATE.line() + "\n")


def test_plain_lines_wait_after_a_phase_and_longer_while_nothing_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("jobs.progress.time.monotonic", lambda: now)
    loading = Snapshot(10, 0, 0, 0, None, None, 0.0, (WorkerLine("w0", "loading", 0, 0, 0, 0),))
    display = PlainDisplay()
    for now, state, lines in (
        (1000.0, loading, 0),
        (1059.0, loading, 0),
        (1060.0, loading, 1),
        (1075.0, loading, 0),
        (1075.1, STATE, 1),
        (1085.0, STATE, 0),
        (1085.2, STATE, 1),
    ):
        display.update(state)
        assert capsys.readouterr().err.count("\n") == lines, now
    display.say("rendering: [sdpa]")
    display.update(STATE)
    assert capsys.readouterr().err == "rendering: [sdpa]\n"


def test_a_terminal_gets_a_bar_and_a_line_a_worker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    many = tuple(WorkerLine(f"w{k}", "idle", 0, 0, 0, 0) for k in range(30))
    display = LiveDisplay()
    display.say("starting Ray [here]")
    with display:
        display.say("loaded [there]")
        display.update(STATE)
        display.update(Snapshot(10, 3, 1, 6, 1.5, 9.0, 60.0, many))
        display._live.refresh()  # type: ignore[attr-defined]
    shown = capsys.readouterr()
    assert shown.out == ""
    for text in (
        "starting Ray [here]",
        "loaded [there]",
        "4/10",
        "1.50 pictures/s",
        "0:00:09 left",
        "1 failed",
        "w15",
        "and 14 more",
    ):
        assert text in shown.err


def test_the_stream_decides_the_display() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert type(display_for(io.StringIO())) is PlainDisplay
    assert type(display_for(Terminal())) is LiveDisplay
    with Display() as nothing:
        nothing.say("x")
        nothing.update(STATE)
