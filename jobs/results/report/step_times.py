"""Seconds a step by step index: a box from the 25th to the 75th percentile, a line from the 5th to the 95th."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.results.quantities import milliseconds
from jobs.results.report.database import QUANTILES, Connection, rows
from jobs.results.report.headline import Shape
from jobs.results.webpage.plot import WIDTH, Axis, Tick, rectangles, value_axis

_CHARTS = 6
_LABELS = 10


@dataclass(frozen=True)
class StepRow:
    """One step index: how many pictures, and the quantiles of their share of the step in ms."""

    step: int
    pictures: int
    ms: tuple[float, ...]  # as QUANTILES


@dataclass(frozen=True)
class StepChart:
    """The steps of one shape, drawn."""

    shape: Shape
    steps: tuple[StepRow, ...]
    y: Axis
    x_ticks: tuple[Tick, ...]
    lines: str
    boxes: str
    medians: str

    @property
    def unit(self) -> str:
        """Of the y axis."""
        return "s" if _in_seconds(self.steps) else "ms"

    @property
    def readout(self) -> list[str]:
        """A sentence a step, for the pointer and the keyboard."""
        return [
            f"step {row.step}: median {milliseconds(row.ms[2])}, half of {row.pictures:,} pictures from "
            f"{milliseconds(row.ms[1])} to {milliseconds(row.ms[3])}, 90 % from {milliseconds(row.ms[0])} "
            f"to {milliseconds(row.ms[4])}"
            for row in self.steps
        ]


def step_charts(connection: Connection, shapes: Sequence[Shape]) -> list[StepChart]:
    """A chart for each of the most frequent shapes that has measured steps."""
    found = rows(
        connection,
        f"""
        select p.shape, s.step, count(*) as pictures,
            quantile_cont(s.step_ms / s.batch_size, {list(QUANTILES)}) as ms
        from steps s join measured p on s.id = p.id and s.image_index = p.image_index
        where p.shape <= ? and isfinite(s.step_ms) group by all order by p.shape, s.step
        """,
        _CHARTS,
    )
    charts = []
    for shape in shapes[:_CHARTS]:
        mine = [row for row in found if row["shape"] == shape.number]
        steps = tuple(StepRow(row["step"], row["pictures"], row["ms"]) for row in mine)
        if steps:
            charts.append(_chart(shape, steps))
    return charts


def _in_seconds(steps: Sequence[StepRow]) -> bool:
    return max(row.ms[-1] for row in steps) >= 2000


def _chart(shape: Shape, steps: tuple[StepRow, ...]) -> StepChart:
    scale = 1e-3 if _in_seconds(steps) else 1.0
    low, high = min(row.ms[0] for row in steps) * scale, max(row.ms[-1] for row in steps) * scale
    # from zero, or over at least a tenth of the value, so that noise does not look like a trend
    y = value_axis(0 if low < high / 2 else min(low - (high - low) * 0.1, high * 0.9), high)
    lines, boxes, medians = [], [], []
    slot = WIDTH / len(steps)
    for k, row in enumerate(steps):
        p5, p25, p50, p75, p95 = (y.y(value * scale) for value in row.ms)
        middle, half = (k + 0.5) * slot, min(slot * 0.32, 16)
        lines.append(f"M{middle:.1f} {p95:.2f}V{p5:.2f}")
        boxes.append((middle - half, p75, 2 * half, max(p25 - p75, 0.4)))
        medians.append(f"M{middle - half * 1.25:.1f} {p50:.2f}h{half * 2.5:.1f}")
    every = -(-len(steps) // _LABELS)
    ticks = tuple(Tick((k + 0.5) / len(steps), str(row.step)) for k, row in enumerate(steps) if k % every == 0)
    return StepChart(shape, steps, y, ticks, "".join(lines), rectangles(boxes), "".join(medians))
