"""One tiny pipeline for a module, and one worker around one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workers.model import LoadedModel, load_model
from workers.settings import Decisions, WorkerSettings
from workers.worker import Worker

TINY = "tiny:flux.1-dev"


@pytest.fixture(scope="session")
def tiny() -> Iterator[LoadedModel]:
    """A tiny pipeline on the CPU, one thread; whoever changes it puts it back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_model(TINY, "cpu", "float32")
    torch.set_num_threads(before)


def settings(out: Path, **changes: Any) -> WorkerSettings:
    """What a CPU worker of a job with the column `tag` is told."""
    values: dict[str, Any] = {
        "worker_id": "run-w0", "model": TINY, "device": "cpu", "dtype": "float32", "attention": "auto",
        "compile": False, "batch_size": 1, "seed": 0, "format": "png", "out": str(out), "extra": {"tag": "string"},
    }  # fmt: skip
    return WorkerSettings(**(values | changes))


def started_worker(out: Path, batch_size: int = 1, **changes: Any) -> Worker:
    """A worker that has loaded its model and taken its decisions."""
    worker = Worker(settings(out, batch_size=batch_size, **changes))
    worker.load()
    worker.begin(worker.decide(None))
    return worker


__all__ = ["TINY", "Decisions", "settings", "started_worker", "tiny"]
