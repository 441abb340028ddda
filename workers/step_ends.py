"""Be told where each denoising step of a pipeline's call ends, whatever the pipeline offers for that."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

OnStepEnd = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]  # (pipe, step, timestep, tensors) -> tensors
_CALLBACK = "callback_on_step_end"


@contextmanager
def reported_steps(pipe: Any, on_step_end: OnStepEnd) -> Iterator[dict[str, Any]]:
    """Around one call of a pipeline; gives the arguments that the call needs for it.

    Pipelines without `callback_on_step_end` (PixArt, LongCat) are told by their scheduler, which makes each step.
    """
    if _CALLBACK in inspect.signature(type(pipe).__call__).parameters:
        yield {_CALLBACK: on_step_end}
        return
    own, count = pipe.scheduler.step, 0

    def step(model_output: Any, timestep: Any, *arguments: Any, **keywords: Any) -> Any:
        nonlocal count
        found = own(model_output, timestep, *arguments, **keywords)
        on_step_end(pipe, count, timestep, {})
        count += 1
        return found

    pipe.scheduler.step = step
    try:
        yield {}
    finally:
        del pipe.scheduler.step  # the instance's; its class keeps its own
