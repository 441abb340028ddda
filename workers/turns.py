"""One loaded pipeline on which several configurations take turns: what `renderay bench` runs on one device.

The parts are those that jobs render with; only the order differs. A turn is one batch: encode, denoise, decode, wait.
What it leaves is encoded and written while the next turn runs.

Compiled code stays when blocks are run as they are, and is found again when they are compiled once more; each backend
has its own, because the compiler guards on the backend that a layer holds.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attention import require_usable, use_backend
from manifests.errors import named_line
from manifests.plan import Picture
from manifests.row import Row
from manifests.seeds import picture_seed
from manifests.storage import locate
from workers.compile import compile_blocks, uncompile_blocks
from workers.decide import decide
from workers.encode import PromptEncoder
from workers.hardware import describe_hardware, free_memory
from workers.lease_output import LeaseOutput
from workers.model import LoadedModel, load_model
from workers.records import BatchContext, RecordMaker, failure_record
from workers.references import ReferenceFetcher
from workers.render import RenderedBatch, Renderer
from workers.settings import Decisions, LeaseResult, WorkerFacts, WorkerSettings, WorkerState
from workers.timing import BatchTimes, clock_for

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("renderay.bench")


@dataclass(frozen=True)
class TurnResult:
    """How a turn went: the batch's seconds a step and a picture, or `error` in one line; `seconds` of wall time.

    `warmup`: it was the first of its configuration in this process. `broken`: the process can render no more.
    """

    step_s: float | None
    picture_s: float | None
    backend: str
    seconds: float
    warmup: bool = False
    error: str | None = None
    broken: bool = False


@dataclass
class _Side:
    """One configuration: its settings, what was decided for it, and a renderer that remembers which shapes it saw."""

    settings: WorkerSettings
    decisions: Decisions
    renderer: Renderer
    records: RecordMaker
    written: list[Future[LeaseResult]] = field(default_factory=list)


class TurnWorker:
    """Loads one pipeline and renders batches of several configurations: `load`, `prepare` each, `take` turns."""

    def __init__(self, threads: int = 1) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._threads = threads
        self._state = WorkerState()
        self._references = ReferenceFetcher()
        self._sides: dict[str, _Side] = {}
        self._writer = ThreadPoolExecutor(1, "write")

    def usable(self, backend: str) -> str:
        """The device that a backend would run on here. AttentionError where it cannot."""
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        require_usable(backend, device)
        return device

    def load(self, settings: WorkerSettings) -> WorkerFacts:
        """Load the model of `settings`. ModelError where it cannot be."""
        import torch

        if settings.device == "cpu":
            torch.set_num_threads(self._threads)
        self._model: LoadedModel = load_model(settings.model, settings.device, settings.dtype, settings.load)
        self._clock = clock_for(settings.device)
        self._facts = WorkerFacts(settings.worker_id, self._model.facts, describe_hardware(settings.device))
        return self._facts

    def prepare(self, name: str, settings: WorkerSettings, sample: Row) -> Decisions:
        """Settle what a configuration leaves to `auto`. ValueError where the pipeline cannot render it."""
        most, asked = self._model.facts.max_batch, settings.batch_size
        if most is not None and isinstance(asked, int) and asked > most:
            raise ValueError(f"batch size {asked}: {self._model.facts.pipeline} takes at most {most}")
        for denoiser in self._model.family.denoisers(self._model.pipe):
            uncompile_blocks(denoiser)  # as a job's worker decides
        encoder = PromptEncoder(self._model, self._clock)
        decisions = decide(settings, self._model, encoder, self._references, self._state, sample)
        if settings.compile and not decisions.compile:
            raise ValueError(decisions.reasons["compile"])
        renderer = Renderer(self._model, decisions, self._state, self._clock)
        records = RecordMaker(settings, self._facts, decisions)
        self._sides[name] = _Side(settings, decisions, renderer, records)
        return decisions

    def take(self, name: str, lease_id: str, rows: Sequence[Row]) -> TurnResult:
        """Render one batch, a picture a row, under a configuration. What raises is in the result and in `errors`."""
        side = self._sides[name]
        failure: TurnResult | None = None
        turn = _Turn(side, lease_id, LeaseOutput(locate(side.settings.out), lease_id, side.settings.extra))
        stage = "encode"
        try:
            encoder = PromptEncoder(self._model, self._clock)  # a new one: every turn encodes its prompts
            encoded = [encoder.encode(row, self._references.get(row)) for row in rows]
            pictures = [Picture(row, 0, picture_seed(row.seed, side.settings.seed, row.id, 0)) for row in rows]
            stage = "denoise"
            self._put_in(side)
            batch = side.renderer.render(pictures, encoded)
            times, pixels, finite = batch.wait()
            if not all(finite):
                raise ArithmeticError("a picture holds NaN or Inf")
        except Exception as error:
            failure = self._fail(turn, rows, stage, error)
        if failure is not None:
            free_memory(self._model.device)  # outside the except block, whose traceback holds the batch's tensors
            return failure
        context = BatchContext(f"{lease_id}-b{batch.worker_batch}", lease_id, 1, 0.0, side.renderer.peak_gib())
        side.written.append(self._writer.submit(turn.write, batch, context, times, pixels))
        whole = times.text_encode_ms + times.prepare_ms + times.denoise_ms + times.decode_ms
        steps = [step.step_ms for step in times.steps]
        step_s, picture_s = sum(steps) / len(steps) / 1e3, whole / len(rows) / 1e3
        return TurnResult(step_s, picture_s, batch.attention_backend, turn.seconds(), batch.warmup)

    def written(self, name: str) -> list[LeaseResult]:
        """The staged files of a configuration's turns since the last call; waits for them."""
        side = self._sides[name]
        done, side.written = [future.result() for future in side.written], []
        return done

    def drop(self, name: str) -> None:
        """Take a configuration out of the turns and free what it held."""
        self._sides.pop(name, None)
        free_memory(self._model.device)

    def _put_in(self, side: _Side) -> None:
        """Put a configuration's backend into the model, and its blocks' compiled code in or out."""
        for denoiser in self._model.family.denoisers(self._model.pipe):
            use_backend(denoiser, side.decisions.attention)
            if side.decisions.compile:
                compile_blocks(denoiser)
            else:
                uncompile_blocks(denoiser)

    def _fail(self, turn: _Turn, rows: Sequence[Row], stage: str, error: Exception) -> TurnResult:
        import torch

        log.warning("%s: failed", turn.lease_id, exc_info=error)
        for row in rows:
            turn.output.failure(row, failure_record(row, stage, error, 1, turn.side.settings.worker_id))
        turn.side.written.append(self._writer.submit(turn.close))
        reason = named_line(error, 300)
        broken = "CUDA error" in reason and not isinstance(error, torch.OutOfMemoryError)
        return TurnResult(None, None, "", turn.seconds(), error=reason, broken=broken)


@dataclass
class _Turn:
    """One turn: whose it is, and the files it leaves."""

    side: _Side
    lease_id: str
    output: LeaseOutput
    began: float = field(default_factory=time.perf_counter)

    def seconds(self) -> float:
        """Wall time since it began."""
        return time.perf_counter() - self.began

    def write(self, batch: RenderedBatch, context: BatchContext, times: BatchTimes, pixels: np.ndarray) -> LeaseResult:
        """Encode every picture, and stage the turn's rows."""
        records = self.side.records
        for k, picture in enumerate(batch.pictures):
            image = records.picture(batch, context, times, k, pixels[k])
            self.output.picture(picture.row, image, list(records.steps(batch, context, times, image)))
        return self.close()

    def close(self) -> LeaseResult:
        """Stage what there is."""
        files = self.output.close()
        done, failed = tuple(sorted(self.output.done)), tuple(sorted(self.output.failed))
        worker = self.side.settings.worker_id
        return LeaseResult(self.lease_id, worker, done, failed, self.output.pictures, self.seconds(), files)
