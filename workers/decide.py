"""Settle what a job leaves to `auto`, by measurement on the worker's own device, at the shape of a sample row."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from attention import AUTO
from manifests.errors import AttentionError
from manifests.plan import Picture
from manifests.row import Row
from workers.backend_choice import FirstForward, bypassed, first_forward, measure_backends, why
from workers.batch_size import choose_batch_size
from workers.compile import can_compile
from workers.encode import Encoded, PromptEncoder
from workers.hardware import describe_hardware, free_memory
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
    """The job's compilation, attention backend and batch size for this GPU model.

    AttentionError where the backend asked for by name does not work with this model.
    """
    compiled, reasons = settings.compile, {}
    if compiled and not all(map(can_compile, model.family.denoisers(model.pipe))):
        compiled, reasons["compile"] = False, f"diffusers names no repeated blocks of {model.facts.pipeline}'s denoiser"
    trial = Trial(model, encoder, references, state, sample) if sample is not None else None
    backend, reasons["attention"] = _choose_backend(settings, compiled, trial)
    size, reasons["batch_size"] = _choose_batch_size(settings, backend, trial, model)
    for what, reason in reasons.items():
        log.info("decided %s: %s", what, reason)
    return Decisions(size, backend, compiled, reasons)


@dataclass(frozen=True)
class Trial:
    """A sample row to measure with, and all that rendering it takes."""

    model: LoadedModel
    encoder: PromptEncoder
    references: ReferenceFetcher
    state: WorkerState
    row: Row

    def first_forward(self, backend: str, batch: int) -> FirstForward:
        """What the denoiser is first given for a batch of the row, with that backend in it."""
        pictures = [Picture(self.row, 0, k) for k in range(batch)]
        return first_forward(self._renderer(backend), pictures, [self._encode(self.row)] * batch)

    def step_ms(self, backend: str, pictures: list[Picture]) -> float:
        """Render a batch, not compiled: its fastest step in ms. MemoryError where it does not fit."""
        import torch

        try:
            encoded = self._encode(pictures[0].row)
            times, _, _ = self._renderer(backend).render(pictures, [encoded] * len(pictures)).wait()
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from None
        finally:
            free_memory(self.model.device)
        return min(step.step_ms for step in times.steps)

    def _renderer(self, backend: str) -> Renderer:
        return Renderer(self.model, Decisions(1, backend, False, {}), self.state, self.encoder.clock)

    def _encode(self, row: Row) -> Encoded:
        return self.encoder.encode(row, self.references.get(row))


def _choose_backend(settings: WorkerSettings, compiled: bool, trial: Trial | None) -> tuple[str, str]:
    asked = settings.attention
    if asked != AUTO:
        said = _bypass_of(asked, trial) if trial is not None and asked != "sdpa" else ""
        return asked, "asked for by name" + said
    if settings.device == "cpu":
        return "sdpa", "auto: on a CPU only torch has a fast kernel, which it picks itself; nothing was timed"
    if trial is None:
        return "sdpa", "auto: no row to measure with; torch picks its kernel"
    batch = settings.batch_size if isinstance(settings.batch_size, int) else 1
    try:
        forward = trial.first_forward("sdpa", min(batch, trial.model.family.max_batch or batch))
        choice, known = measure_backends(trial.model, forward, compiled, describe_hardware("cuda").kind)
    except Exception as error:  # the row's own fault, memory, a model like no other: leases will tell, row by row
        log.exception("attention auto: nothing could be measured")
        return "sdpa", f"auto: not measured ({' '.join(repr(error).split()):.200}); torch picks its kernel"
    return choice.backend, why(choice, known, compiled) + _bypass_of(choice.backend, trial)


def _bypass_of(backend: str, trial: Trial) -> str:
    """Which attention calls of the model do not use the backend, to be added to a reason; empty where all do."""
    try:
        said = bypassed(trial.first_forward(backend, 1), backend)
    except AttentionError:
        raise
    except Exception:  # as above
        log.exception("attention %s: what bypasses it cannot be told, the sample row cannot be rendered", backend)
        return ""
    if said:
        log.warning("%s", said)
    return f"; {said}" if said else ""


def _choose_batch_size(
    settings: WorkerSettings, backend: str, trial: Trial | None, model: LoadedModel
) -> tuple[int, str]:
    if isinstance(settings.batch_size, int):
        return settings.batch_size, "asked for"
    if model.family.max_batch == 1:
        return 1, f"auto: {model.facts.pipeline} takes one picture a call"
    if settings.device == "cpu" or trial is None:
        return 1, "auto: one picture fills a CPU"
    choice = choose_batch_size(trial.row, lambda pictures: trial.step_ms(backend, pictures))
    return choice.batch_size, choice.reason()
