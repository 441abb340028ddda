"""From a rendered batch to rows of the images, steps and errors tables."""

from __future__ import annotations

import json
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from attention import BACKENDS
from manifests.errors import one_line
from manifests.row import BadRow, Row
from manifests.schemas import STEPS, extra_names
from manifests.survey import cast_extra
from workers.pictures import encode_picture
from workers.render import RenderedBatch
from workers.settings import Decisions, WorkerFacts, WorkerSettings
from workers.timing import BatchTimes

if TYPE_CHECKING:
    import numpy as np

Record = dict[str, Any]


@dataclass(frozen=True)
class BatchContext:
    """What the rows of one batch say besides the batch itself. `queue_ms` is from the lease's arrival to the batch."""

    batch_id: str
    lease_id: str
    attempt: int
    queue_ms: float
    peak_gib: float


@dataclass(frozen=True)
class RecordMaker:
    """Makes table rows for one worker's job."""

    settings: WorkerSettings
    facts: WorkerFacts
    decisions: Decisions

    def picture(
        self,
        batch: RenderedBatch,
        context: BatchContext,
        times: BatchTimes,
        k: int,
        pixels: np.ndarray,
    ) -> Record:
        """The images row of picture k of a batch; encodes its (H, W, 3) uint8 pixels."""
        picture = batch.pictures[k]
        row, index = picture.row, picture.image_index
        began = time.perf_counter()
        data = encode_picture(pixels, self.settings.format)
        image_encode_ms = (time.perf_counter() - began) * 1e3
        height, width = pixels.shape[:2]
        record = self._shared(batch, context, width, height)
        record |= {
            "id": row.id,
            "ordinal": row.ordinal,
            "image_index": index,
            "image": {"bytes": data, "path": f"{row.id}-{index}.{self.settings.format}"},
            "format": self.settings.format,
            "prompt": row.prompt,
            "negative_prompt": row.negative_prompt,
            "seed": picture.seed,
            "steps": len(times.steps),
            "guidance_scale": row.guidance_scale,
            "true_cfg_scale": row.true_cfg_scale,
            "params": json.dumps(row.params, sort_keys=True) if row.params else None,
            "started_at": times.started_at,
            "queue_ms": context.queue_ms,
            "text_encode_ms": times.text_encode_ms,
            "prepare_ms": times.prepare_ms,
            "denoise_ms": times.denoise_ms,
            "decode_ms": times.decode_ms,
            "image_encode_ms": image_encode_ms,
            "sha256": sha256(data).hexdigest(),
            "reference_images": [{"uri": ref.uri, "sha256": ref.sha256} for ref in batch.encoded[k].references],
        }
        return record | self._extra(row)

    def steps(self, batch: RenderedBatch, context: BatchContext, times: BatchTimes, image: Record) -> Iterator[Record]:
        """The steps rows of the picture whose images row is given."""
        shared = {name: image[name] for name in STEPS.names if name in image}
        for step in times.steps:
            yield {
                **shared,
                "step": step.step,
                "timestep": step.timestep,
                "sigma": step.sigma,
                "step_ms": step.step_ms,
                "started_at": step.started_at,
            }

    def _shared(self, batch: RenderedBatch, context: BatchContext, width: int, height: int) -> Record:
        model, hardware = self.facts.model, self.facts.hardware
        return {
            "width": width,
            "height": height,
            "model": model.model,
            "revision": model.revision,
            "fingerprint": model.fingerprint,
            "dtype": model.dtype,
            "attention_requested": self.settings.attention,
            "attention_backend": batch.attention_backend,
            "compiled": self.decisions.compile,
            "exact": BACKENDS[self.decisions.attention].exact and not model.quantized,
            "batch_size": len(batch.pictures),
            "batch_id": context.batch_id,
            "worker_batch": batch.worker_batch,
            "warmup": batch.warmup,
            "attempt": context.attempt,
            "lease_id": context.lease_id,
            "worker_id": self.settings.worker_id,
            "node": hardware.node,
            "gpu": hardware.gpu,
            "gpu_uuid": hardware.gpu_uuid,
            "peak_gib": context.peak_gib,
        }

    def _extra(self, row: Row) -> Record:
        names, kinds = extra_names(self.settings.extra), self.settings.extra
        return {names[key]: cast_extra(value, kinds[key]) for key, value in row.extra.items()}


def failure_record(
    row: Row, stage: str, error: BaseException, attempts: int, worker_id: str | None, field: str | None = None
) -> Record:
    """The errors row of a manifest row that could not be rendered."""
    return {
        "id": row.id,
        "ordinal": row.ordinal,
        "source_file": row.source_file,
        "source_line": row.source_line,
        "field": field,
        "stage": stage,
        "error_type": type(error).__name__,
        "message": one_line(error),
        "traceback": "".join(traceback.format_exception(error)),
        "attempts": attempts,
        "worker_id": worker_id,
        "node": socket.gethostname(),
    }


def bad_row_record(row: BadRow) -> Record:
    """The errors row of a manifest row that could not be read."""
    return {
        "id": row.id,
        "ordinal": row.ordinal,
        "source_file": row.source_file,
        "source_line": row.source_line,
        "field": row.field,
        "stage": "manifest",
        "error_type": "BadRow",
        "message": row.message,
        "traceback": None,
        "attempts": 0,
        "worker_id": None,
        "node": socket.gethostname(),
    }
