"""What a hand-laid chart needs: axes with round ticks, and SVG paths of rectangles.

Charts are drawn on a canvas of 1000 x 100 units that the page stretches; lines keep their width, text stays outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

WIDTH, HEIGHT = 1000.0, 100.0
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, from 0 to 1, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A linear scale with its ticks."""

    low: float
    high: float
    ticks: tuple[Tick, ...]

    def at(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def y(self, value: float) -> float:
        """The same on the canvas, which counts from the top."""
        return HEIGHT * (1 - self.at(value))


def value_axis(low: float, high: float, about: int = 4) -> Axis:
    """An axis over [low, high], widened to round numbers, with about that many steps."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    start, end = first * step, last * step
    decimals = max(0, 1 - math.floor(math.log10(step))) if step < 1 or step % 1 else 0
    labels = [f"{k * step:,.{decimals}f}" for k in range(first, last + 1)]
    if decimals:  # as many decimals as the steps need, alike on every tick
        spare = min(len(label) - len(label.rstrip("0")) for label in labels)
        labels = [label[: len(label) - spare].rstrip(".") if spare else label for label in labels]
    ticks = (Tick((k * step - start) / (end - start), label) for k, label in enumerate(labels, first))
    return Axis(start, end, tuple(ticks))


def time_axis(seconds: float, about: int = 8) -> Axis:
    """An axis over [0, seconds] with ticks at round times, labelled m:ss or h:mm."""
    step = next((s for s in _TIME_STEPS if s * about >= seconds), 0)
    step = step or 86400 * math.ceil(seconds / about / 86400)
    if seconds < 2:
        return Axis(0, seconds, tuple(Tick(k / 4, f"{seconds * k / 4:.2f} s") for k in range(5)))
    times = range(0, math.floor(seconds) + 1, step)
    return Axis(0, seconds, tuple(Tick(time / seconds, _clock(time, step)) for time in times))


def _clock(time: int, step: int) -> str:
    if step >= 86400:
        return f"{time // 86400} d"
    if step >= 60:
        return f"{time // 3600}:{time % 3600 // 60:02d} h"
    return f"{time // 60}:{time % 60:02d} min" if time >= 60 else f"{time} s"


def rectangles(boxes: Iterable[tuple[float, float, float, float]]) -> str:
    """An SVG path of boxes (x, y, width, height) in canvas units."""
    return "".join(f"M{_short(x)} {_short(y)}h{_short(w)}v{_short(h)}h-{_short(w)}z" for x, y, w, h in boxes)


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
