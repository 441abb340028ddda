"""Settle what a job leaves to `auto`, by measurement on the worker's own device."""

from __future__ import annotations

import logging
from collections.abc import Callable

from attention import choose
from manifests.plan import Picture
from manifests.row import Row
from workers.batch_size import choose_batch_size
from workers.compile import can_compile
from workers.encode import PromptEncoder
from workers.hardware import free_memory
from workers.model import LoadedModel
from workers.references import ReferenceFetcher
from workers.render import Renderer
from workers.settings import Decisions, WorkerSettings, WorkerState

log = logging.getLogger("renderay.worker")


def decide(
    settings: WorkerSettings,
    model: LoadedModel,
    encoder: PromptEncoder,
    references: ReferenceFetcher,
    state: WorkerState,
    sample: Row | None,
) -> Decisions:
    """The job's attention backend and batch size for this GPU model, measured at the shape of a sample row."""
    backend, why_backend = choose(settings.attention)
    asked, most = settings.batch_size, model.family.max_batch
    if isinstance(asked, int):
        size, why_size = asked, "asked for"
    elif most == 1:
        size, why_size = 1, f"auto: {model.facts.pipeline} takes one picture a call"
    elif settings.device == "cpu" or sample is None:
        size, why_size = 1, "auto: one picture fills a CPU"
    else:
        timer = _step_timer(model, encoder, references, state, Decisions(1, backend, False, {}))
        choice = choose_batch_size(sample, timer)
        size, why_size = choice.batch_size, choice.reason()
    reasons = {"attention": why_backend, "batch_size": why_size}
    compiled = settings.compile
    if compiled and not all(map(can_compile, model.family.denoisers(model.pipe))):
        compiled, reasons["compile"] = False, f"diffusers names no repeated blocks of {model.facts.pipeline}'s denoiser"
    log.info("decided: batch size %d (%s), attention %s (%s)", size, why_size, backend, why_backend)
    return Decisions(size, backend, compiled, reasons)


def _step_timer(
    model: LoadedModel,
    encoder: PromptEncoder,
    references: ReferenceFetcher,
    state: WorkerState,
    decisions: Decisions,
) -> Callable[[list[Picture]], float]:
    """A function that renders a batch and returns the time of its fastest step in ms."""
    renderer = Renderer(model, decisions, state, encoder.clock)

    def step_ms(pictures: list[Picture]) -> float:
        import torch

        row = pictures[0].row
        try:
            encoded = encoder.encode(row, references.get(row))
            times, _, _ = renderer.render(pictures, [encoded] * len(pictures)).wait()
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from None
        finally:
            free_memory(model.device)
        return min(step.step_ms for step in times.steps)

    return step_ms
