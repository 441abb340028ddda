"""Render one lease: encode its prompts, denoise batch by batch, and have the rest done by other threads.

    render thread       encode every row ─> batch ─> batch ─> …   (queues work, never waits for the device)
    finishing threads                         └──> wait for the device, read timings, compress pictures
    a closing thread                                └──> write Parquet, report

A row that raises is tried again by itself, then given up; its neighbours are rendered.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Semaphore

from manifests.plan import Block, Lease, Picture, cut_batches
from manifests.row import Row
from manifests.seeds import picture_seed
from manifests.storage import Location, is_full
from workers.breadcrumb import breadcrumb_location, drop_breadcrumb
from workers.encode import Encoded, PromptEncoder
from workers.hardware import free_memory
from workers.lease_output import LeaseOutput
from workers.model import LoadedModel
from workers.records import BatchContext, RecordMaker, failure_record
from workers.references import ReferenceFetcher
from workers.render import RenderedBatch, Renderer
from workers.settings import Decisions, LeaseResult, WorkerSettings, WorkerState

MAX_TRIES = 2  # of a row that raises, in one process
_BATCHES_IN_FLIGHT = 2  # on the device, beyond those being finished

log = logging.getLogger("renderay.worker")


class WorkerBroken(RuntimeError):
    """The process can render no more (a CUDA error sticks to it): it must be replaced."""


@dataclass
class LeaseRenderer:
    """Renders leases with one worker's loaded model; `run` belongs to the render thread."""

    settings: WorkerSettings
    out: Location
    model: LoadedModel
    decisions: Decisions
    encoder: PromptEncoder
    references: ReferenceFetcher
    renderer: Renderer
    records: RecordMaker
    state: WorkerState
    _broken: str | None = None
    _slots: Semaphore = field(init=False)
    _finishers: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        threads = self.settings.encode_threads
        self._finishers = ThreadPoolExecutor(threads, "finish")
        self._slots = Semaphore(threads + _BATCHES_IN_FLIGHT)
        self._breadcrumb = breadcrumb_location(self.out, self.settings.worker_id)

    def run(self, lease: Lease, arrived: datetime) -> Future[LeaseResult]:
        """Queue every batch; the future is of the finished lease. WorkerBroken where the process cannot go on."""
        if self._broken:
            raise WorkerBroken(self._broken)
        began = time.perf_counter()
        self.state.lease_id = lease.lease_id
        output = LeaseOutput(self.out, lease.lease_id, self.settings.extra)
        pending: list[Future[None]] = []
        # decoded reference images are large: rows that have some are encoded block by block, unless that costs a swap
        by_block = lease.rows[0].images and not self.model.facts.swap_seconds
        portions = [(block,) for block in lease.blocks] if by_block else [lease.blocks]
        for blocks in portions:
            encoded = self._encode(lease, blocks, output)
            for pictures in self._batches(lease, blocks, encoded):
                pending += self._render_batch(lease, arrived, pictures, encoded, output, lease.attempt)
        self.state.advance("ready")
        # a thread of its own: the finishers must not wait for one another
        closing = ThreadPoolExecutor(1, "close")
        finished = closing.submit(self._close_lease, lease, output, pending, began)
        closing.shutdown(wait=False)
        return finished

    def _encode(self, lease: Lease, blocks: tuple[Block, ...], output: LeaseOutput) -> dict[int, Encoded]:
        """Encode every row of these blocks, by ordinal; a row that cannot be encoded is given up."""
        encoded: dict[int, Encoded] = {}
        self.state.advance("encode")
        for row in (row for block in blocks for row in block.rows):
            for attempt in range(lease.attempt, lease.attempt + MAX_TRIES):
                stage = "reference"
                try:
                    references = self.references.get(row)
                    stage = "encode"
                    if not self.encoder.knows(row, references):
                        drop_breadcrumb(self._breadcrumb, lease.lease_id, [row.ordinal])
                    encoded[row.ordinal] = self.encoder.encode(row, references)
                    break
                except Exception as error:
                    self._raise_if_broken(error)
                    log.warning("%s: row %s failed while %s: %r", lease.lease_id, row.id, stage, error)
                    if stage == "reference" or attempt == lease.attempt + MAX_TRIES - 1:
                        self._give_up(output, row, stage, error, attempt)
                        break
                free_memory(self.settings.device)
            self.state.progress += 1
        return encoded

    def _batches(self, lease: Lease, blocks: tuple[Block, ...], encoded: dict[int, Encoded]) -> list[list[Picture]]:
        family = self.model.family
        size = 1 if lease.split else min(self.decisions.batch_size, family.max_batch or self.decisions.batch_size)
        batches: list[list[Picture]] = []
        for block in blocks:
            pictures = [
                Picture(row, k, picture_seed(row.seed, self.settings.seed, row.id, k))
                for row in block.rows
                if row.ordinal in encoded
                for k in range(row.num_images)
            ]
            # rows with reference images share no call: pipelines take one set of images a call
            lengths = [
                (picture.row.ordinal, picture.image_index)
                if picture.row.images
                else family.length(encoded[picture.row.ordinal].embeddings)
                for picture in pictures
            ]
            batches += cut_batches(pictures, lengths, size)
        return batches

    def _render_batch(
        self,
        lease: Lease,
        arrived: datetime,
        pictures: list[Picture],
        encoded: dict[int, Encoded],
        output: LeaseOutput,
        attempt: int,
    ) -> list[Future[None]]:
        """Queue one batch; one that raises is tried again picture by picture, then its row is given up."""
        pictures = [picture for picture in pictures if not output.has_failed(picture.row)]
        if not pictures:
            return []
        drop_breadcrumb(self._breadcrumb, lease.lease_id, sorted({picture.row.ordinal for picture in pictures}))
        self._slots.acquire()
        queue_ms = (datetime.now(UTC) - arrived).total_seconds() * 1e3
        try:
            batch = self.renderer.render(pictures, _charge(pictures, encoded))
        except Exception as error:
            self._slots.release()
            self._raise_if_broken(error)
            stage = self.renderer.stage
            log.warning("%s: %d pictures failed while %s: %r", lease.lease_id, len(pictures), stage, error)
            if len(pictures) == 1 and attempt - lease.attempt + 1 >= MAX_TRIES:
                self._give_up(output, pictures[0].row, stage, error, attempt)
                return []
        else:
            self.state.pictures += len(pictures)
            batch_id = f"{lease.lease_id}-b{batch.worker_batch}"
            context = BatchContext(batch_id, lease.lease_id, attempt, queue_ms, self.renderer.peak_gib())
            return [self._finishers.submit(self._finish, batch, context, output)]
        free_memory(self.settings.device)  # outside the except block, whose traceback holds the batch's tensors
        return [
            future
            for picture in pictures
            for future in self._render_batch(lease, arrived, [picture], encoded, output, attempt + 1)
        ]

    def _finish(self, batch: RenderedBatch, context: BatchContext, output: LeaseOutput) -> None:
        """On a finishing thread: wait for the device, then encode and record every picture."""
        try:
            times, pixels, finite = batch.wait()
        except Exception as error:
            self._raise_if_broken(error)
            for picture in batch.pictures:
                self._give_up(output, picture.row, "denoise", error, context.attempt)
        else:
            for k, picture in enumerate(batch.pictures):
                try:
                    if not finite[k]:
                        raise ArithmeticError("the picture holds NaN or Inf; try another dtype or attention backend")
                    image = self.records.picture(batch, context, times, k, pixels[k])
                    output.picture(picture.row, image, list(self.records.steps(batch, context, times, image)))
                except Exception as error:
                    self._raise_if_broken(error)
                    stage = "write" if finite[k] else "decode"
                    self._give_up(output, picture.row, stage, error, context.attempt)
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
        return LeaseResult(lease.lease_id, self.settings.worker_id, done, failed, output.pictures, seconds, files)

    def _give_up(self, output: LeaseOutput, row: Row, stage: str, error: BaseException, attempt: int) -> None:
        output.failure(row, failure_record(row, stage, error, attempt, self.settings.worker_id))

    def _raise_if_broken(self, error: Exception) -> None:
        """No row is at fault where nothing can be written, nor for a CUDA error other than memory exhaustion, which
        poisons every later call of the process."""
        import torch

        if is_full(error):
            raise error
        text = str(error)
        if isinstance(error, torch.OutOfMemoryError) or "CUDA error" not in text:
            return
        self._broken = " ".join(text.split())[:300]
        raise WorkerBroken(self._broken) from error


def _charge(pictures: list[Picture], encoded: dict[int, Encoded]) -> list[Encoded]:
    """Each picture's embeddings; the time of encoding a row goes to the first of its pictures alone."""
    found = []
    for picture in pictures:
        found.append(encoded[picture.row.ordinal])
        encoded[picture.row.ordinal] = replace(found[-1], marks=None)
    return found
