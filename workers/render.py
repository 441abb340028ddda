"""Render one batch: distinct prompts to embeddings, the pipeline's own call to latents, latents to pixels.

The render thread only queues work on the device; `RenderedBatch.wait` is called elsewhere, while the next batch runs.

Tensor shapes: B pictures, H and W pixels.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attention import KernelCount, choose, use_backend
from manifests.plan import Picture, Shape, shape_of
from manifests.row import Row
from workers.families import Embeddings
from workers.hardware import peak_gib
from workers.model import LoadedModel
from workers.settings import Decisions, WorkerState
from workers.timing import BatchTimer, BatchTimes, clock_for
from workers.transfer import to_host

if TYPE_CHECKING:
    import numpy as np
    import torch

_CACHED_PROMPTS = 1024


@dataclass(frozen=True)
class RenderedBatch:
    """A batch whose work is queued on the device. `pixels` is (B, H, W, 3) uint8, `finite` (B,) bool, on the host."""

    pictures: tuple[Picture, ...]
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
    """Renders batches of one shape each on one loaded pipeline. Not thread-safe: one render thread owns it."""

    def __init__(self, model: LoadedModel, decisions: Decisions, state: WorkerState) -> None:
        self.stage = "encode"
        self.batches = 0
        self._model = model
        self._decisions = decisions
        self._state = state
        self._clock = clock_for(model.device)
        self._seen: dict[tuple[Shape, int], str] = {}  # shape and batch size -> the backend counted at its first batch
        self._embeddings: OrderedDict[str, Embeddings] = OrderedDict()
        self._denoisers = model.family.denoisers(model.pipe)
        backend, _ = choose(decisions.attention)
        for denoiser in self._denoisers:
            use_backend(denoiser, backend)
            if decisions.compile:
                denoiser.compile_repeated_blocks(fullgraph=True)

    def render(self, pictures: Sequence[Picture]) -> RenderedBatch:
        """Queue one batch of pictures of one shape. Whatever the pipeline raises passes; `stage` tells where."""
        import torch

        first = pictures[0].row
        key = (shape_of(first), len(pictures))
        warmup = key not in self._seen
        timer = BatchTimer(self._clock, self._denoisers, self._model.pipe.scheduler)
        if self._model.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with torch.no_grad():
            self.stage = "encode"
            self._state.advance("encode")
            timer.mark("begin")
            arguments = self._encode_batch([picture.row for picture in pictures])
            timer.mark("encoded")
            self.stage = "denoise"
            self._state.advance("denoise")
            latents = self._denoise(pictures, arguments, timer, key if warmup else None)
            self.stage = "decode"
            self._state.advance("decode")
            height, width = self._size(first)
            pixels, finite = to_pixels(self._model.family.decode(self._model.pipe, latents, height, width))
            host_pixels, host_finite = to_host(pixels), to_host(finite)
            timer.mark("decoded")
        self.batches += 1
        return RenderedBatch(
            tuple(pictures), self.batches - 1, warmup, self._seen[key], timer, host_pixels, host_finite
        )

    def _size(self, row: Row) -> tuple[int, int]:
        defaults = self._model.facts.defaults
        return row.height or defaults.height or 1024, row.width or defaults.width or 1024

    def _denoise(
        self, pictures: Sequence[Picture], arguments: dict[str, Any], timer: BatchTimer, new: tuple[Shape, int] | None
    ) -> torch.Tensor:
        import torch

        row = pictures[0].row
        height, width = self._size(row)
        arguments |= {"height": height, "width": width, "output_type": "latent", "return_dict": False}
        arguments["generator"] = [torch.Generator("cpu").manual_seed(picture.seed) for picture in pictures]
        arguments["callback_on_step_end"] = self._on_step_end(timer, row.steps or 0)
        for name, value in (
            ("num_inference_steps", row.steps),
            ("guidance_scale", row.guidance_scale),
            ("true_cfg_scale", row.true_cfg_scale),
        ):
            if value is not None:
                arguments[name] = value
        call = self._model.pipe.__call__
        if new is None:
            with timer:
                return call(**arguments)[0]
        with KernelCount(self._denoisers[0]) as count, timer:
            latents = call(**arguments)[0]
        self._seen[new] = count.backend
        return latents

    def _on_step_end(self, timer: BatchTimer, steps: int) -> Any:
        self._state.step, self._state.steps = 0, steps

        def on_step_end(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self._state.step = step + 1
            self._state.progress += 1
            return timer.on_step_end(pipe, step, timestep, tensors)

        return on_step_end

    def _encode_batch(self, rows: Sequence[Row]) -> dict[str, Any]:
        import torch

        found = [self._encode(row) for row in rows]
        arguments: dict[str, Any] = {name: torch.cat([each[name] for each in found]) for name in found[0]}
        skip = self._model.family.text_only_params
        return arguments | {name: value for name, value in rows[0].params.items() if name not in skip}

    def _encode(self, row: Row) -> Embeddings:
        # one prompt at a time: its embedding must not depend on what else is in the batch
        key = json.dumps([row.prompt, row.negative_prompt, row.params], sort_keys=True)
        if key in self._embeddings:
            self._embeddings.move_to_end(key)
            return self._embeddings[key]
        found = self._model.family.encode(self._model.pipe, row.prompt, row.negative_prompt, row.params)
        self._embeddings[key] = found
        if len(self._embeddings) > _CACHED_PROMPTS:
            self._embeddings.popitem(last=False)
        return found

    def peak_gib(self) -> float:
        """The most memory held since the batch began."""
        return peak_gib(self._model.device)


def to_pixels(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8 and (B,) whether every value is finite.

    The same arithmetic, in the same order and dtypes, as diffusers' VaeImageProcessor followed by its numpy_to_pil, so
    that the bytes are equal; done on the device so that a third of them is copied.
    """
    import torch

    finite = torch.isfinite(image).flatten(1).all(dim=1)
    unit = (image * 0.5 + 0.5).clamp(0, 1)
    return (unit.permute(0, 2, 3, 1).float() * 255).round().to(torch.uint8), finite
