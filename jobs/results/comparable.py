"""One run as it is compared, and in what two sides of runs differ besides what is being compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.jobfile import JobFile

# a batch's column and what to call it; backends are what is compared, so they are not here
_COLUMNS = {
    "model": "model",
    "fingerprint": "weights (fingerprint)",
    "dtype": "dtype",
    "gpu": "GPU",
    "width": "width",
    "height": "height",
    "steps": "steps",
    "batch_size": "batch size",
    "compiled": "compilation",
    "guided": "CFG (a negative prompt)",
    "guidance_scale": "guidance scale",
    "true_cfg_scale": "true CFG scale",
    "exact": "exactness",
}
_MEANING = {"batch_size": "; a step is of a whole batch, so compare pictures"}
_MOST_SHOWN = 3
_WORDS = {None: "none", True: "yes", False: "no"}


@dataclass(frozen=True)
class Run:
    """One run: where it is, its job.json, and `batches` as `read_batches` gives them, the `untimed` left out."""

    uri: str
    job: JobFile
    batches: pa.Table
    untimed: int = 0

    def distinct(self, *columns: str) -> set[tuple[Any, ...]]:
        """The combinations of values that the batches after warm-up have."""
        timed = self.batches.filter(pc.invert(self.batches["warmup"]))
        return {tuple(row.values()) for row in timed.select(columns).group_by(list(columns)).aggregate([]).to_pylist()}


def differences(a: Sequence[Run], b: Sequence[Run]) -> tuple[str, ...]:
    """What makes two sides hard to compare, a line each: `steps: 28 on a, 50 on b`."""
    found = []
    for column, name in _COLUMNS.items():
        values = [{value for run in side for (value,) in run.distinct(column)} for side in (a, b)]
        if values[0] != values[1]:
            found.append(f"{name}: {_shown(values[0])} on a, {_shown(values[1])} on b{_MEANING.get(column, '')}")
    versions = [[_versions(run) for run in side] for side in (a, b)]
    for package in sorted({name for side in versions for run in side for name in run}):
        values = [{run.get(package) for run in side} for side in versions]
        if values[0] != values[1]:
            found.append(f"version of {package}: {_shown(values[0])} on a, {_shown(values[1])} on b")
    for name, side in (("a", a), ("b", b)):
        gpus = {value for run in side for (value,) in run.distinct("gpu")}
        if len(gpus) > 1:
            found.append(f"GPU: side {name} itself ran on {_shown(gpus)}")
    for run in {run.uri: run for run in (*a, *b)}.values():
        if run.untimed:
            found.append(f"times: missing or not above zero in {run.untimed} batches of {run.uri}, which are left out")
    if same := {run.uri for run in a} & {run.uri for run in b}:
        found.append(f"runs: {_shown(same)} is on both sides")
    return tuple(found)


def _versions(run: Run) -> dict[str, str]:
    return dict(run.job.model.get("versions") or {})


def _shown(values: set[Any]) -> str:
    texts = sorted(_WORDS.get(value, str(value)) if isinstance(value, bool | None) else str(value) for value in values)
    more = f" and {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else ""
    return ", ".join(texts[:_MOST_SHOWN]) + more
