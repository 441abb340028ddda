"""A run tells how it gets going: every phase once, with the seconds since it began."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from jobs.cluster import Resources
from jobs.pool import Member
from jobs.progress import Display
from jobs.spec import JobSpec, make_spec
from jobs.start_up import StartUp
from tests.jobs.facts import DECISIONS, worker_facts


class Listening(Display):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def spec_of(**options: Any) -> JobSpec:
    return make_spec(manifest=("m.jsonl",), model="tiny:flux.1-dev", out="out", **options)


def told(display: Listening) -> list[str]:
    """The texts, the seconds in front of each taken off."""
    assert all(re.match(r" *\d+\.\d s  \S", line) for line in display.lines)
    return [line.partition(" s  ")[2] for line in display.lines]


@pytest.fixture
def display() -> Listening:
    return Listening()


def test_every_phase_is_told_once_however_often_the_workers_are_looked_at(display: Listening) -> None:
    start_up = StartUp(display, spec_of(), time.monotonic() - 12.34)
    start_up.ray(70_000, 69_000)
    start_up.loading(Resources("cuda", 4, 8), 4, "bfloat16")
    facts = worker_facts("NVIDIA H200", weights=11_900_000_000, load_seconds=41.26)
    workers = [Member(f"w{k}", None) for k in range(4)]
    for _ in range(3):
        start_up.observe(workers, {})
    assert len(display.lines) == 2
    workers[1].facts, workers[1].stage = facts, "loaded"
    start_up.observe(workers, {})
    workers[1].stage = "deciding"
    for _ in range(3):
        start_up.observe(workers, {})
    for worker in workers:
        worker.facts, worker.stage = facts, "ready"
    for _ in range(3):
        start_up.observe(workers, {"NVIDIA H200": DECISIONS})
    assert told(display) == [
        "69,000 of 70,000 rows to render; starting Ray on this machine",
        "loading tiny:flux.1-dev as bfloat16 on 4 workers, each with a GPU",
        "loaded in 41.3 s: FluxPipeline, 11.9 B weights on NVIDIA H200",
        "measuring attention and batch size",
        "rendering: attention sdpa, batch size 2, not compiled",
    ]
    assert display.lines[0].startswith("  12.3 s  ")


def test_what_was_asked_for_is_said_as_asked(display: Listening) -> None:
    spec = spec_of(address="ray://head:10001", attention="sdpa-math", batch_size=2, gpus_per_worker=2)
    start_up = StartUp(display, spec, time.monotonic())
    start_up.ray(1, 1)
    start_up.loading(Resources("cuda", 1, 8), 1, "bfloat16")
    start_up.observe([Member("w0", None, "deciding", worker_facts(placement="swap"))], {})
    assert told(display) == [
        "1 of 1 rows to render; joining Ray at ray://head:10001",
        "loading tiny:flux.1-dev as bfloat16 on a worker with 2 GPUs",
        "loaded in 1.0 s: FluxPipeline, swap on CPU",
        "trying attention sdpa-math",
    ]
