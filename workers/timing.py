"""Measure one batch: device time on a GPU, wall time on a CPU, never a synchronisation inside the loop.

A mark is an instant on the device's own clock. On a GPU it is a CUDA event, placed in the stream and read only after
the batch is done, so recording costs microseconds; on a CPU it is the wall clock.

    call begins ── first denoiser forward ── step 0 ends ── … ── last step ends ── decoded
           prepare_ms                 step_ms[0]       denoise_ms          decode_ms

Step 0 begins at the denoiser's first forward, which a hook sees; `callback_on_step_end` sees only where steps end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from workers.transfer import to_host

if TYPE_CHECKING:
    import torch


class Clock(Protocol):
    """Marks instants on a device and measures between them."""

    def mark(self) -> Any:
        """An instant in the order of the device's work; does not wait for it."""

    def milliseconds(self, first: Any, second: Any) -> float:
        """From one mark to another, in ms. Both must have been reached: call `wait` first."""

    def instant(self, mark: Any) -> datetime:
        """The UTC time of a mark that has been reached."""

    def wait(self, mark: Any) -> None:
        """Block until the device has reached the mark."""


class WallClock:
    """The host's monotonic clock, for CPUs: work is done when the call returns."""

    def __init__(self) -> None:
        self._anchor = self.mark()
        self._anchored_at = datetime.now(UTC)

    def mark(self) -> int:
        return time.perf_counter_ns()

    def milliseconds(self, first: int, second: int) -> float:
        return (second - first) / 1e6

    def instant(self, mark: int) -> datetime:
        return self._anchored_at + timedelta(milliseconds=self.milliseconds(self._anchor, mark))

    def wait(self, mark: int) -> None:
        return None


class CudaClock:
    """CUDA events on the current stream, tied to the wall clock once, when the clock is made."""

    def __init__(self) -> None:
        self._anchor = self.mark()
        self.wait(self._anchor)
        self._anchored_at = datetime.now(UTC)

    def mark(self) -> torch.cuda.Event:
        import torch

        event = torch.cuda.Event(enable_timing=True, blocking=True)
        event.record()
        return event

    def milliseconds(self, first: torch.cuda.Event, second: torch.cuda.Event) -> float:
        return float(first.elapsed_time(second))

    def instant(self, mark: torch.cuda.Event) -> datetime:
        return self._anchored_at + timedelta(milliseconds=self.milliseconds(self._anchor, mark))

    def wait(self, mark: torch.cuda.Event) -> None:
        mark.synchronize()


def clock_for(device: str) -> Clock:
    """The clock of a device ("cpu" or "cuda")."""
    return CudaClock() if device == "cuda" else WallClock()


@dataclass(frozen=True)
class StepTime:
    """One denoising step of a batch: `step_ms` is the whole batch's, `sigma` None where the scheduler has none."""

    step: int
    timestep: float
    sigma: float | None
    step_ms: float
    started_at: datetime


@dataclass(frozen=True)
class BatchTimes:
    """Where the time of a batch went, in ms of device time (GPU) or wall time (CPU)."""

    started_at: datetime
    text_encode_ms: float
    prepare_ms: float
    denoise_ms: float
    decode_ms: float
    steps: tuple[StepTime, ...]


@dataclass
class BatchTimer:
    """Collects the marks of one batch; `read` turns them into times once the device is done.

    Use as a context manager around the pipeline call: it hooks the denoisers for that long. `mark` names the other
    instants: begin (before the call) and decoded (after it). `encodings` are pairs of marks around the text encodings
    that were made for this batch.
    """

    clock: Clock
    denoisers: Sequence[torch.nn.Module]
    scheduler: Any
    marks: dict[str, Any] = field(default_factory=dict)
    ends: list[Any] = field(default_factory=list)  # the mark at the end of each step
    timesteps: list[Any] = field(default_factory=list)
    encodings: list[tuple[Any, Any]] = field(default_factory=list)
    _hooks: list[Any] = field(default_factory=list)
    _host_timesteps: Any = None
    _sigmas: Any = None

    def mark(self, name: str) -> None:
        """Give this instant a name."""
        self.marks[name] = self.clock.mark()

    def __enter__(self) -> BatchTimer:
        self._hooks = [module.register_forward_pre_hook(self._on_forward) for module in self.denoisers]
        return self

    def __exit__(self, *error: object) -> None:
        import torch

        for hook in self._hooks:
            hook.remove()
        if self.timesteps:
            self._host_timesteps = to_host(torch.stack([torch.as_tensor(t) for t in self.timesteps]))
        # the next call replaces the scheduler's tensor, perhaps before `read`; read from a GPU, each would wait for it
        sigmas = getattr(self.scheduler, "sigmas", None)
        self._sigmas = to_host(sigmas) if isinstance(sigmas, torch.Tensor) else sigmas

    def _on_forward(self, module: torch.nn.Module, arguments: Any) -> None:
        if "first_forward" not in self.marks:
            self.mark("first_forward")

    def on_step_end(self, pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """The pipeline's `callback_on_step_end`. The timestep may be on the GPU: it is read later, without a wait."""
        self.ends.append(self.clock.mark())
        self.timesteps.append(timestep)
        return tensors

    def read(self) -> BatchTimes:
        """Wait until the batch is decoded and measure. RuntimeError where the pipeline reported no step."""
        self.clock.wait(self.marks["decoded"])
        if "first_forward" not in self.marks or not self.ends:
            raise RuntimeError("the pipeline reported no denoising step: its timing cannot be told")
        between = self.clock.milliseconds
        first, last = self.marks["first_forward"], self.ends[-1]
        return BatchTimes(
            started_at=self.clock.instant(self.marks["begin"]),
            text_encode_ms=sum(between(begin, end) for begin, end in self.encodings),
            prepare_ms=between(self.marks["begin"], first),
            denoise_ms=between(first, last),
            decode_ms=between(last, self.marks["decoded"]),
            steps=tuple(self._steps([first, *self.ends])),
        )

    def _steps(self, bounds: list[Any]) -> Iterator[StepTime]:
        for step, (begin, end) in enumerate(pairwise(bounds)):
            has_sigma = self._sigmas is not None and step < len(self._sigmas)
            yield StepTime(
                step=step,
                timestep=float(self._host_timesteps[step]),
                sigma=float(self._sigmas[step]) if has_sigma else None,
                step_ms=self.clock.milliseconds(begin, end),
                started_at=self.clock.instant(begin),
            )
