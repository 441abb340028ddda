"""How many pictures one pipeline call should take: measured on the device at the job's own shape.

Larger batches help where one picture does not fill the device, cost nothing but memory where it does, and change the
last bit of a picture; so the smallest one that is about as fast as the best is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from manifests.plan import Picture
from manifests.row import Row

CANDIDATES = (1, 2, 4, 8)
NEAR_BEST = 1.03  # a batch size this close to the best is as good
_STEPS = 3  # of which the first warms up


@dataclass(frozen=True)
class BatchSizeChoice:
    """The batch size chosen, and milliseconds a picture and step at each size that was tried."""

    batch_size: int
    ms_per_picture: dict[int, float]

    def reason(self) -> str:
        """What was measured, in words."""
        tried = ", ".join(f"{size}: {ms:.1f}" for size, ms in self.ms_per_picture.items())
        return f"auto: ms a step and picture by batch size, not compiled: {tried}"


def choose_batch_size(row: Row, step_ms: Callable[[list[Picture]], float]) -> BatchSizeChoice:
    """Time a row's shape at growing batch sizes until one gains nothing or memory ends.

    `step_ms` renders a batch and returns its fastest step in ms, or raises MemoryError.
    """
    sample = replace(row, steps=_STEPS, num_images=1)
    timed: dict[int, float] = {}
    for size in CANDIDATES:
        try:
            timed[size] = step_ms([Picture(sample, 0, k) for k in range(size)]) / size
        except MemoryError:
            break
        if size > 1 and timed[size] > timed[size // 2] / NEAR_BEST:
            break
    best = min(timed.values(), default=0.0)
    chosen = next((size for size, ms in timed.items() if ms <= best * NEAR_BEST), 1)
    return BatchSizeChoice(chosen, timed)
