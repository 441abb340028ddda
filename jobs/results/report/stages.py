"""Where the time goes: the workers' time added up, and each stage's cost of one picture as quantiles."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.results.quantities import share
from jobs.results.report.database import Connection, rows

_STAGES = (
    ("text", "Text encoding", "prompts to embeddings; nothing where the embedding was still known"),
    ("prepare", "Preparing", "from the pipeline's call to the first forward: noise, reference images"),
    ("denoise", "Denoising", "all steps, first forward to the end of the last step"),
    ("decode", "Decoding", "latents to pixels"),
)
_BESIDE = (
    ("image_encode", "Image file", "pixels to a compressed file, on other threads while the next batch renders"),
    ("queue", "Queue", "from the lease's arrival at the worker to the batch: waiting its turn"),
)


@dataclass(frozen=True)
class Stage:
    """One stage: quantiles of a picture's share in ms (5, 50, 95 %), and its part of the workers' time.

    `seconds` is None for what happens beside the rendering; `ms` is None where there is no picture.
    """

    key: str
    name: str
    note: str
    ms: tuple[float, ...] | None
    seconds: float | None
    part: float | None

    @property
    def percent(self) -> str:
        """Its part, to read."""
        return share(self.part, 1.0) if self.part is not None else ""


def stages(connection: Connection, idle_s: float) -> list[Stage]:
    """The stages of a picture, then warm-up and idle time, then what happens beside them."""
    quantiles = ", ".join(f"quantile_cont({key}_ms, [0.05, 0.5, 0.95]) as {key}" for key, _, _ in (*_STAGES, *_BESIDE))
    sums = ", ".join(f"coalesce(sum({key}_ms), 0) / 1e3 as {key}_s" for key, _, _ in _STAGES)
    warm = "(select coalesce(sum(picture_ms), 0) from pictures) / 1e3 - coalesce(sum(picture_ms), 0) / 1e3 as warm_s"
    (row,) = rows(connection, f"select {quantiles}, {sums}, {warm} from measured")
    parts = [(*stage, row[stage[0]], row[f"{stage[0]}_s"]) for stage in _STAGES]
    warm_s = max(0.0, row["warm_s"])  # a difference of sums
    parts.append(("warmup", "Warm-up", "first batch of each shape on each worker, all stages", None, warm_s))
    parts.append(("idle", "Idle", "a worker between its first and last picture, with none under way", None, idle_s))
    whole = sum(seconds for *_, seconds in parts) or 1.0
    shown = [Stage(key, name, note, ms, s, s / whole) for key, name, note, ms, s in parts]
    return shown + [Stage(key, name, note, row[key], None, None) for key, name, note in _BESIDE]
