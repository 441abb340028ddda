"""The figures at the top, and the same by shape: what fixes a picture's cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.results.quantities import milliseconds
from jobs.results.report.database import QUANTILES, Connection, rows

_SHAPES_SHOWN = 12


@dataclass(frozen=True)
class Shape:
    """Pictures that should cost the same; times in ms are shares of a picture, warm-up apart, None without any."""

    number: int
    name: str
    batch_size: int
    backend: str
    gpu: str
    pictures: int
    step_ms: tuple[float, ...] | None  # 5th, 50th and 95th percentile over pictures of their mean step
    picture_ms: tuple[float, ...] | None


def shapes(connection: Connection) -> tuple[list[Shape], int]:
    """The most frequent shapes, and how many more there are."""
    found = rows(
        connection,
        """
        select s.*, quantile_cont(p.denoise_ms / p.steps, [0.05, 0.5, 0.95]) filter (where not p.warmup) as step_ms,
            quantile_cont(p.picture_ms, [0.05, 0.5, 0.95]) filter (where not p.warmup) as picture_ms
        from shapes s join pictures p using (shape) group by all order by shape
        """,
    )
    return [_shape(row) for row in found[:_SHAPES_SHOWN]], max(0, len(found) - _SHAPES_SHOWN)


def _shape(row: dict[str, Any]) -> Shape:
    references = row["n_references"]
    extra = f", {references} reference image{'s' if references > 1 else ''}" if references else ""
    return Shape(
        number=row["shape"],
        name=f"{row['width']} × {row['height']}, {row['steps']} step{'s' if row['steps'] != 1 else ''}{extra}",
        batch_size=row["batch_size"],
        backend=f"{row['attention_backend'] or 'unknown'}{', compiled' if row['compiled'] else ''}",
        gpu=row["gpu"] or "CPU",
        pictures=row["pictures"],
        step_ms=row["step_ms"],
        picture_ms=row["picture_ms"],
    )


@dataclass(frozen=True)
class Totals:
    """Counts of pictures, and quantiles (5, 50, 95 %) over those measured; None where there is no picture."""

    pictures: int
    warmup: int
    retried: int
    step_ms: tuple[float, ...] | None
    picture_ms: tuple[float, ...] | None
    peak_gib: float | None
    on_gpu: bool

    @property
    def only_warmup(self) -> bool:
        """Whether the times can be of warm-up pictures only."""
        return self.pictures > 0 and self.pictures == self.warmup


def totals(connection: Connection) -> Totals:
    """Add up the pictures."""
    cut = [QUANTILES[0], QUANTILES[2], QUANTILES[-1]]
    (row,) = rows(
        connection,
        f"""
        select count(*) as pictures, count(*) filter (where warmup) as warmup,
            count(*) filter (where attempt > 1) as retried,
            (select quantile_cont(denoise_ms / steps, {cut}) from measured) as step_ms,
            (select quantile_cont(picture_ms, {cut}) from measured) as picture_ms,
            max(peak_gib) as peak_gib, coalesce(bool_or(gpu is not null), false) as on_gpu
        from pictures
        """,
    )
    return Totals(**row)


def spread(quantiles: tuple[float, ...]) -> str:
    """5th to 95th percentile, for the small print."""
    return f"{milliseconds(quantiles[0])} to {milliseconds(quantiles[-1])}"
