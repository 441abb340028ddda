"""What every stage of training shares: how long it runs, its learning rate, averaged weights, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_CALIBRATION = (50, 150)  # steps between which the speed is measured, after compilation


class Schedule:
    """A stage of `steps`, or of as many as fit in `minutes`: measured once, early, then fixed and recorded.

    Repeat a run exactly by giving the recorded number of steps. The rate rises over `warm_up` steps and falls to zero
    along a cosine. `agree` makes what the clock decides the same in all processes.
    """

    def __init__(
        self,
        minutes: float,
        steps: int | None,
        warm_up: int = 300,
        done: int = 0,
        agree: Callable[[float], float] = float,
    ) -> None:
        self.steps, self.warm_up, self._agree = steps, warm_up, agree
        self._ends = time.monotonic() + minutes * 60
        self._calibrated, self._from, self._first = 0.0, done + _CALIBRATION[0], done

    def goes_on(self, step: int) -> bool:
        """Call before each step; `step` counts from 0."""
        if self.steps is None:
            if torch.cuda.is_available() and step in (self._from, self._first + _CALIBRATION[1]):
                torch.cuda.synchronize()
            now = time.monotonic()
            if step == self._from:
                self._calibrated = now
            elif step == self._first + _CALIBRATION[1] and step > 0:
                seconds = (now - self._calibrated) / (_CALIBRATION[1] - _CALIBRATION[0])
                self.steps = int(self._agree(step + max(int((self._ends - now) / seconds), 1)))
            elif self._agree(now > self._ends):  # too short or too slow to be measured
                self.steps = step
        return self.steps is None or step < self.steps

    def pause(self, seconds: float) -> None:
        """Something else took so long: it does not count."""
        self._ends += seconds
        self._calibrated += seconds

    def rate(self, step: int) -> float:
        """In parts of the peak."""
        rising = min((step + 1) / self.warm_up, 1.0)
        if self.steps is None:
            return rising
        return rising * 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1.0)))


class Average:
    """The exponential moving average of a module's weights."""

    def __init__(self, module: torch.nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.names = [name for name, _ in module.named_parameters()]
        self.live = list(module.parameters())
        self.values = [parameter.detach().clone() for parameter in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self.live], 1 - decay)

    @torch.no_grad()
    def to_module(self, module: torch.nn.Module) -> None:
        """Into the module's weights, a copy's, or those of another module with parameters of these names."""
        values = dict(zip(self.names, self.values, strict=True))
        for name, parameter in module.named_parameters():
            parameter.copy_(values[name])


def save_checkpoint(path: Path, **state: Any) -> None:
    """Whole or not at all: a run killed while it writes leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path, device: str) -> dict[str, Any] | None:
    return torch.load(path, map_location=device, weights_only=True) if path.is_file() else None
