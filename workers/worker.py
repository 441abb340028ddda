"""One worker: a render thread that keeps the device busy, and threads behind it that encode and write.

    lease ──> render thread: encode prompts, denoise, decode  (queues work, never waits for the device)
                  └──> finishing threads: wait for the device, read timings, compress pictures
                           └──> last one: write Parquet, report

While one lease's pictures are compressed and written, the next lease is being rendered. No Ray here.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from threading import Semaphore

from attention import choose
from manifests.plan import Lease, Picture, cut_batches
from manifests.row import Row
from manifests.seeds import picture_seed
from manifests.storage import locate
from workers.batch_size import choose_batch_size, free_memory
from workers.breadcrumb import breadcrumb_location, drop_breadcrumb
from workers.hardware import describe_hardware
from workers.lease_output import LeaseOutput
from workers.model import LoadedModel, load_model
from workers.records import BatchContext, RecordMaker, failure_record
from workers.render import RenderedBatch, Renderer
from workers.settings import Decisions, LeaseResult, WorkerFacts, WorkerSettings, WorkerState

MAX_TRIES = 2  # of a row that raises, in one process
_BATCHES_IN_FLIGHT = 2  # on the device or being finished, beyond which the render thread waits

log = logging.getLogger("renderay.worker")


class WorkerBroken(RuntimeError):
    """The process can render no more (a CUDA error sticks to it): it must be replaced."""


class Worker:
    """Loads one pipeline and renders leases with it."""

    def __init__(self, settings: WorkerSettings) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.state = WorkerState()
        self._settings = settings
        self._out = locate(settings.out)
        (self._out / "_staging").make_folder()
        self._breadcrumb = breadcrumb_location(self._out, settings.worker_id)
        self._render_thread = ThreadPoolExecutor(1, "render")
        self._finishers = ThreadPoolExecutor(settings.encode_threads, "finish")
        self._slots = Semaphore(settings.encode_threads + _BATCHES_IN_FLIGHT)
        self._model: LoadedModel | None = None
        self._renderer: Renderer | None = None
        self._records: RecordMaker | None = None
        self._broken: str | None = None

    def load(self) -> WorkerFacts:
        """Load the model. ModelError where it cannot be."""
        return self._render_thread.submit(self._load).result()

    def decide(self, sample: Row | None) -> Decisions:
        """Settle what the job left to `auto`, on this worker's device, at the shape of a sample row of the job."""
        return self._render_thread.submit(self._decide, sample).result()

    def begin(self, decisions: Decisions) -> None:
        """Take the job's decisions; leases may follow."""
        self._render_thread.submit(self._begin, decisions).result()

    def render(self, lease: Lease) -> LeaseResult:
        """Render a lease and stage its files. Rows that fail are in the result; only a broken worker raises."""
        arrived = datetime.now(UTC)
        finishing = self._render_thread.submit(self._render_lease, lease, arrived).result()
        return finishing.result()

    def _load(self) -> WorkerFacts:
        import torch

        if self._settings.device == "cpu":
            torch.set_num_threads(self._settings.threads)
        self._model = load_model(self._settings.model, self._settings.device, self._settings.dtype)
        self.state.advance("ready")
        self._facts = WorkerFacts(self._settings.worker_id, self._model.facts, describe_hardware(self._settings.device))
        log.info("loaded %s in %.1f s", self._settings.model, self._model.facts.load_seconds)
        return self._facts

    def _decide(self, sample: Row | None) -> Decisions:
        backend, why_backend = choose(self._settings.attention)
        asked = self._settings.batch_size
        if isinstance(asked, int):
            size, why_size = asked, "asked for"
        elif self._settings.device == "cpu" or sample is None:
            size, why_size = 1, "auto: one picture fills a CPU"
        else:
            choice = choose_batch_size(sample, self._timer_of(Decisions(1, backend, False, {})))
            size, why_size = choice.batch_size, choice.reason()
        reasons = {"attention": why_backend, "batch_size": why_size}
        log.info("decided: batch size %d (%s), attention %s (%s)", size, why_size, backend, why_backend)
        return Decisions(size, backend, self._settings.compile, reasons)

    def _timer_of(self, decisions: Decisions) -> Callable[[list[Picture]], float]:
        """A function that renders a batch and returns the time of its fastest step in ms."""
        assert self._model is not None
        renderer = Renderer(self._model, decisions, self.state)
        device = self._settings.device

        def step_ms(pictures: list[Picture]) -> float:
            import torch

            try:
                times, _, _ = renderer.render(pictures).wait()
            except torch.OutOfMemoryError as error:
                raise MemoryError(str(error)) from None
            finally:
                free_memory(device)
            return min(step.step_ms for step in times.steps)

        return step_ms

    def _begin(self, decisions: Decisions) -> None:
        if self._model is None:
            raise RuntimeError("begin() before load()")
        self._decisions = decisions
        self._renderer = Renderer(self._model, decisions, self.state)
        self._records = RecordMaker(self._settings, self._facts, decisions)

    def _render_lease(self, lease: Lease, arrived: datetime) -> Future[LeaseResult]:
        """On the render thread: queue every batch, return the future of the finished lease."""
        if self._broken:
            raise WorkerBroken(self._broken)
        began = time.perf_counter()
        self.state.lease_id = lease.lease_id
        output = LeaseOutput(self._out, lease.lease_id, self._settings.extra)
        pending: list[Future[None]] = []
        for pictures in self._batches(lease):
            pending += self._render_batch(lease, arrived, list(pictures), output, lease.attempt)
        self.state.advance("ready")
        # a thread of its own: the finishers must not wait for one another
        closing = ThreadPoolExecutor(1, "close")
        finished = closing.submit(self._close_lease, lease, output, pending, began)
        closing.shutdown(wait=False)
        return finished

    def _batches(self, lease: Lease) -> list[list[Picture]]:
        size = 1 if lease.split else self._decisions.batch_size
        batches = []
        for block in lease.blocks:
            pictures = [
                Picture(row, k, picture_seed(row.seed, self._settings.seed, row.id, k))
                for row in block.rows
                for k in range(row.num_images)
            ]
            batches += cut_batches(pictures, [None] * len(pictures), size)
        return batches

    def _render_batch(
        self, lease: Lease, arrived: datetime, pictures: list[Picture], output: LeaseOutput, attempt: int
    ) -> list[Future[None]]:
        """Queue one batch; one that raises is tried again picture by picture, then its row is given up."""
        assert self._renderer is not None
        pictures = [picture for picture in pictures if not output.has_failed(picture.row)]
        if not pictures:
            return []
        drop_breadcrumb(self._breadcrumb, lease.lease_id, sorted({picture.row.ordinal for picture in pictures}))
        self._slots.acquire()
        queue_ms = (datetime.now(UTC) - arrived).total_seconds() * 1e3
        try:
            batch = self._renderer.render(pictures)
        except Exception as error:
            self._slots.release()
            self._raise_if_broken(error)
            log.warning(
                "%s: %d pictures failed while %s: %r", lease.lease_id, len(pictures), self._renderer.stage, error
            )
            if len(pictures) == 1 and attempt - lease.attempt + 1 >= MAX_TRIES:
                self._give_up(output, pictures[0].row, self._renderer.stage, error, attempt)
                return []
        else:
            self.state.pictures += len(pictures)
            batch_id = f"{lease.lease_id}-b{batch.worker_batch}"
            context = BatchContext(batch_id, lease.lease_id, attempt, queue_ms, self._renderer.peak_gib())
            return [self._finishers.submit(self._finish, batch, context, output)]
        free_memory(self._settings.device)  # outside the except block, whose traceback holds the batch's tensors
        return [
            future
            for picture in pictures
            for future in self._render_batch(lease, arrived, [picture], output, attempt + 1)
        ]

    def _finish(self, batch: RenderedBatch, context: BatchContext, output: LeaseOutput) -> None:
        """On a finishing thread: wait for the device, then encode and record every picture."""
        assert self._records is not None
        stage = "denoise"
        try:
            times, pixels, finite = batch.wait()
            stage = "write"
            for k, picture in enumerate(batch.pictures):
                if not finite[k]:
                    error = ArithmeticError("the picture holds NaN or Inf; try another dtype or attention backend")
                    self._give_up(output, picture.row, "decode", error, context.attempt)
                    continue
                image = self._records.picture(batch, context, times, k, pixels[k])
                output.picture(picture.row, image, list(self._records.steps(batch, context, times, image)))
        except Exception as error:
            self._raise_if_broken(error)
            for row in {picture.row.ordinal: picture.row for picture in batch.pictures}.values():
                self._give_up(output, row, stage, error, context.attempt)
        finally:
            self._slots.release()
            self.state.progress += 1

    def _close_lease(self, lease: Lease, output: LeaseOutput, pending: list[Future[None]], began: float) -> LeaseResult:
        wait(pending)
        try:
            for future in pending:
                future.result()
            seconds = time.perf_counter() - began
            files = output.close()
        except BaseException:
            output.discard()
            raise
        done, failed = tuple(sorted(output.done)), tuple(sorted(output.failed))
        return LeaseResult(lease.lease_id, self._settings.worker_id, done, failed, output.pictures, seconds, files)

    def _give_up(self, output: LeaseOutput, row: Row, stage: str, error: BaseException, attempt: int) -> None:
        output.failure(row, failure_record(row, stage, error, attempt, self._settings.worker_id))

    def _raise_if_broken(self, error: Exception) -> None:
        """A CUDA error other than memory exhaustion poisons every later call of the process."""
        import torch

        text = str(error)
        if isinstance(error, torch.OutOfMemoryError) or "CUDA error" not in text:
            return
        self._broken = " ".join(text.split())[:300]
        raise WorkerBroken(self._broken) from error
