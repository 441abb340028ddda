"""Render one batch: embeddings through the pipeline's own call to latents, latents to pixels.

The render thread only queues work on the device; `RenderedBatch.wait` is called elsewhere, while the next batch runs.

Tensor shapes: B pictures, H and W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attention import KernelCount, head_sizes, require_working, use_backend
from manifests.plan import Picture, Shape, shape_of
from manifests.row import Row
from workers.compile import compile_blocks
from workers.encode import Encoded
from workers.hardware import peak_gib
from workers.model import LoadedModel
from workers.settings import Decisions, WorkerState
from workers.step_ends import reported_steps
from workers.timing import BatchTimer, BatchTimes, Clock
from workers.transfer import to_host

if TYPE_CHECKING:
    import numpy as np
    import torch

log = logging.getLogger("renderay.worker")


@dataclass(frozen=True)
class RenderedBatch:
    """A batch whose work is queued on the device. `pixels` is (B, H, W, 3) uint8, `finite` (B,) bool, on the host."""

    pictures: tuple[Picture, ...]
    encoded: tuple[Encoded, ...]
    worker_batch: int
    warmup: bool
    attention_backend: str
    timer: BatchTimer
    pixels: torch.Tensor
    finite: torch.Tensor

    def wait(self) -> tuple[BatchTimes, np.ndarray, list[bool]]:
        """Block until the device is done: times, (B, H, W, 3) uint8 pixels, and which pictures hold no NaN or Inf."""
        times = self.timer.read()
        return times, self.pixels.numpy(), self.finite.tolist()


class Renderer:
    """Renders batches of one shape each on one loaded pipeline. Not thread-safe: one render thread owns it.

    AttentionError where the backend that was decided on does not compute rightly on this device.
    """

    def __init__(self, model: LoadedModel, decisions: Decisions, state: WorkerState, clock: Clock) -> None:
        self.stage = "denoise"
        self.batches = 0
        self._model = model
        self._state = state
        self._clock = clock
        self._seen: dict[tuple[Shape, int], str] = {}  # shape and batch size -> the backend counted at its first batch
        self._attention = decisions.attention
        self.denoisers = model.family.denoisers(model.pipe)
        for denoiser in self.denoisers:
            require_working(decisions.attention, model.device, model.facts.dtype, head_sizes(denoiser))
            use_backend(denoiser, decisions.attention)
            if decisions.compile:
                compile_blocks(denoiser)

    def render(self, pictures: Sequence[Picture], encoded: Sequence[Encoded]) -> RenderedBatch:
        """Queue one batch of pictures of one shape. Whatever the pipeline raises passes; `stage` tells where."""
        import torch

        model, row = self._model, pictures[0].row
        height, width = model.family.size(model.pipe, row.height, row.width, encoded[0].images)
        key = (shape_of(replace(row, height=height, width=width)), len(pictures))
        warmup = key not in self._seen
        timer = BatchTimer(self._clock, self.denoisers, model.pipe.scheduler)
        timer.encodings = [each.marks for each in encoded if each.marks is not None]
        if model.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        model.residency.denoising()
        with torch.no_grad():
            self._enter("denoise")
            timer.mark("begin")
            arguments = self._arguments(pictures, encoded, height, width)
            output = self._call(arguments, timer, row, key if warmup else None)
            self._enter("decode")
            # a pipeline spread over GPUs may decode on another than the one whose clock says that pixels are there
            image = model.family.decode(model.pipe, output, height or 0, width or 0).to(model.device)
            pixels, finite = to_pixels(image)
            host_pixels, host_finite = to_host(pixels), to_host(finite)
            timer.mark("decoded")
        self.batches += 1
        number, backend = self.batches - 1, self._seen[key]
        return RenderedBatch(tuple(pictures), tuple(encoded), number, warmup, backend, timer, host_pixels, host_finite)

    def _enter(self, stage: str) -> None:
        self.stage = stage
        self._state.advance(stage)

    def _call(
        self, arguments: dict[str, Any], timer: BatchTimer, row: Row, new: tuple[Shape, int] | None
    ) -> torch.Tensor:
        """The pipeline's own call; the first of a shape has its attention kernels counted."""
        arguments |= {"output_type": self._model.family.output_type, "return_dict": False}
        pipe = self._model.pipe
        with ExitStack() as around:
            around.enter_context(self._model.family.calling(pipe))
            watched = self.denoisers if new else []
            counts = [around.enter_context(KernelCount(denoiser)) for denoiser in watched]
            around.enter_context(timer)
            on_step_end = self._on_step_end(timer, row.steps or 0)
            arguments |= around.enter_context(reported_steps(pipe, on_step_end))
            output = pipe(**arguments)[0]
        if new:
            self._seen[new] = self._what_ran(counts)
        return output

    def _what_ran(self, counts: list[KernelCount]) -> str:
        """The backends that were counted, joined by `+`; logs what bypassed the chosen one."""
        for count in counts:
            if said := count.bypass(self._attention):
                log.warning("%s", said)
        return "+".join(sorted({name for count in counts for name in count.names})) or "unknown"

    def _on_step_end(self, timer: BatchTimer, steps: int) -> Any:
        self._state.step, self._state.steps = 0, steps

        def on_step_end(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self._state.step = step + 1
            self._state.progress += 1
            return timer.on_step_end(pipe, step, timestep, tensors)

        return on_step_end

    def _arguments(
        self, pictures: Sequence[Picture], encoded: Sequence[Encoded], height: int | None, width: int | None
    ) -> dict[str, Any]:
        import torch

        family, pipe = self._model.family, self._model.pipe
        rows = [picture.row for picture in pictures]
        prompts, negatives = [row.prompt for row in rows], [row.negative_prompt for row in rows]
        found = family.arguments(pipe, prompts, negatives, encoded[0].images)
        for name in encoded[0].embeddings:
            found[name] = torch.cat([each.embeddings[name] for each in encoded])
        found |= {name: value for name, value in rows[0].params.items() if name not in family.text_only_params}
        found["generator"] = [torch.Generator("cpu").manual_seed(picture.seed) for picture in pictures]
        chosen = {
            "height": height,
            "width": width,
            "num_inference_steps": rows[0].steps,
            "guidance_scale": rows[0].guidance_scale,
            "true_cfg_scale": rows[0].true_cfg_scale,
        }
        return found | {name: value for name, value in chosen.items() if value is not None}

    def peak_gib(self) -> float:
        """The most memory held since the batch began."""
        return peak_gib(self._model.device)


def to_pixels(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 3, H, W) in [0, 1] -> (B, H, W, 3) uint8 and (B,) whether every value is finite.

    The same arithmetic, in the same order and dtypes, as diffusers' numpy_to_pil, so that the bytes are equal; done on
    the device so that a quarter of them is copied.
    """
    import torch

    finite = torch.isfinite(image).flatten(1).all(dim=1)
    return (image.permute(0, 2, 3, 1).float() * 255).round().to(torch.uint8), finite
