"""The one file of workers that knows Ray: a worker as an actor.

`max_concurrency` lets a second lease queue behind the one being rendered, and lets `state` answer meanwhile. There is
no `max_restarts`: the driver replaces a worker that died, because it must know which rows brought it down.
"""

from __future__ import annotations

import logging
import os

import ray

from manifests.plan import Lease
from manifests.row import Row
from manifests.storage import locate
from workers.logs import log_to
from workers.settings import Decisions, LeaseResult, WorkerFacts, WorkerSettings, WorkerState
from workers.worker import Worker


@ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=6)
class RenderActor:
    """`workers.worker.Worker` behind Ray. `secrets` are environment variables that must not reach any file."""

    def __init__(self, settings: WorkerSettings, secrets: dict[str, str]) -> None:
        os.environ.update(secrets)
        self._log = log_to(locate(settings.out) / "_logs" / f"{settings.worker_id}.log")
        self._worker = Worker(settings)

    def load(self) -> WorkerFacts:
        """Load the model."""
        try:
            return self._worker.load()
        except Exception:
            logging.getLogger("renderay.worker").exception("loading failed")
            raise
        finally:
            self._log.upload()

    def decide(self, sample: Row | None) -> Decisions:
        """Settle what the job left to `auto`, at the shape of a sample row."""
        return self._worker.decide(sample)

    def begin(self, decisions: Decisions) -> None:
        """Take the job's decisions."""
        self._worker.begin(decisions)

    def render(self, lease: Lease) -> LeaseResult:
        """Render one lease."""
        try:
            return self._worker.render(lease)
        finally:
            self._log.upload()

    def state(self) -> WorkerState:
        """What the worker is doing."""
        return self._worker.state
