"""A job some of whose prompts raise, hang, exhaust memory or kill their process: run by test_poison.py."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import ray

from jobs.run import render
from jobs.spec import make_spec
from workers.settings import Decisions, LeaseResult, WorkerFacts, WorkerSettings, WorkerState


@ray.remote(max_restarts=0, max_concurrency=6)
class RenderActor:
    """The real worker, but for prompts that name a mishap."""

    def __init__(self, settings: WorkerSettings, secrets: dict[str, str]) -> None:
        from workers.render import Renderer
        from workers.worker import Worker

        genuine = Renderer.render

        def poisoned(renderer: Any, pictures: Any, encoded: Any) -> Any:
            for picture in pictures:
                if "RAISE" in picture.row.prompt:
                    raise ValueError("this prompt raises")
                if "MEMORY" in picture.row.prompt:
                    raise MemoryError("no memory left")
                if "HANG" in picture.row.prompt:
                    time.sleep(3600)
                if "KILL" in picture.row.prompt:
                    os.kill(os.getpid(), signal.SIGKILL)
            return genuine(renderer, pictures, encoded)

        Renderer.render = poisoned  # type: ignore[method-assign]
        self._worker = Worker(settings)

    def load(self) -> WorkerFacts:
        return self._worker.load()

    def decide(self, sample: Any) -> Decisions:
        return self._worker.decide(sample)

    def begin(self, decisions: Decisions) -> None:
        self._worker.begin(decisions)

    def render(self, lease: Any) -> LeaseResult:
        return self._worker.render(lease)

    def state(self) -> WorkerState:
        return self._worker.state


if __name__ == "__main__":
    spec = make_spec(
        manifest=(sys.argv[1],),
        model="tiny:flux.1-dev",
        out=sys.argv[2],
        batch_size=4,
        stall_timeout=15,
        lease_seconds=5,
    )
    sys.exit(render(spec, actor_class=RenderActor).exit_code)
