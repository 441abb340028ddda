"""One worker: one process, one pipeline, one render thread that keeps the device busy.

While one lease's pictures are compressed and written, the next lease is being rendered. No Ray here.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from attention import require_working
from manifests.plan import Lease
from manifests.row import Row
from manifests.storage import locate
from workers.decide import decide
from workers.encode import PromptEncoder
from workers.hardware import describe_hardware
from workers.lease import LeaseRenderer
from workers.model import LoadedModel, load_model
from workers.records import RecordMaker
from workers.references import ReferenceFetcher
from workers.render import Renderer
from workers.settings import Decisions, LeaseResult, WorkerFacts, WorkerSettings, WorkerState
from workers.timing import Clock, clock_for

_COMMON_HEAD = 128  # head size of most large models; the model's own is tried once it is loaded

log = logging.getLogger("renderay.worker")


class Worker:
    """Loads one pipeline and renders leases with it: `load`, perhaps `decide`, `begin`, then `render` each lease."""

    def __init__(self, settings: WorkerSettings) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.state = WorkerState()
        self._settings = settings
        self._out = locate(settings.out)
        (self._out / "_staging").make_folder()
        self._render_thread = ThreadPoolExecutor(1, "render")  # all of torch's work is done on it
        self._references = ReferenceFetcher()

    def load(self) -> WorkerFacts:
        """Load the model. ModelError where it cannot be; AttentionError, before, where its backend cannot be used."""
        return self._render_thread.submit(self._load).result()

    def decide(self, sample: Row | None) -> Decisions:
        """Settle what the job left to `auto`, on this worker's device, at the shape of a sample row of the job."""
        return self._render_thread.submit(
            decide, self._settings, self._model, self._encoder, self._references, self.state, sample
        ).result()

    def begin(self, decisions: Decisions) -> None:
        """Take the job's decisions; leases may follow."""
        self._render_thread.submit(self._begin, decisions).result()

    def render(self, lease: Lease) -> LeaseResult:
        """Render a lease and stage its files. Rows that fail are in the result; only a broken worker raises."""
        arrived = datetime.now(UTC)
        self._references.prefetch(lease.rows)
        finishing = self._render_thread.submit(self._leases.run, lease, arrived).result()
        return finishing.result()

    def _load(self) -> WorkerFacts:
        import torch

        if self._settings.device == "cpu":
            torch.set_num_threads(self._settings.threads)
        require_working(self._settings.attention, self._settings.device, self._settings.dtype, {_COMMON_HEAD})
        self._model: LoadedModel = load_model(
            self._settings.model, self._settings.device, self._settings.dtype, self._settings.load
        )
        self._clock: Clock = clock_for(self._settings.device)
        self._encoder = PromptEncoder(self._model, self._clock)
        hardware = describe_hardware(self._settings.device)
        self._facts = WorkerFacts(self._settings.worker_id, self._model.facts, hardware)
        self.state.advance("ready")
        facts = self._model.facts
        log.info("loaded %s in %.1f s, its weights %s", facts.model, facts.load_seconds, facts.placement)
        if facts.swap_seconds:
            log.info("going from text encoding to denoising and back takes %.2f s a lease", facts.swap_seconds)
        return self._facts

    def _begin(self, decisions: Decisions) -> None:
        self._leases = LeaseRenderer(
            self._settings,
            self._out,
            self._model,
            decisions,
            self._encoder,
            self._references,
            Renderer(self._model, decisions, self.state, self._clock),
            RecordMaker(self._settings, self._facts, decisions),
            self.state,
        )
