"""Runs that nobody rendered: tables with known times and realistic noise, in the folders that renderay writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.jobfile import JobFile, describe_model
from manifests.schemas import STEPS, images_schema
from manifests.storage import locate
from tests.jobs.facts import DECISIONS, worker_facts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GPU = "NVIDIA H200"


def batch_times(
    rng: np.random.Generator, batches: int = 24, level: float = 1.0, drift: float = 0.03, noise: float = 0.02
) -> np.ndarray:
    """Step times in ms of one worker's batches: about 30, slower and slower by `drift` in all, each with `noise`."""
    return 30 * level * np.exp(np.linspace(0, drift, batches) + rng.normal(0, noise, batches))


def write_run(
    out: Path,
    workers: Sequence[np.ndarray],
    *,
    batch_size: int = 1,
    steps: int = 4,
    round_of: Sequence[int] | None = None,
    worker_ids: Sequence[str] | None = None,
    versions: dict[str, str] | None = None,
    png: bytes = b"",
    **columns: Any,
) -> str:
    """A finished job's folder. `workers` are the step times in ms of each worker's batches after a slow first one.

    `round_of` numbers the batches as a bench does; `columns` replace values of the images and steps tables.
    """
    extra = {"round": "int64"} if round_of is not None else {}
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for w, times in enumerate(workers):
        worker = worker_ids[w] if worker_ids else f"{out.name}-w{w}"
        for k, step_ms in enumerate([20 * times[0], *times]):
            shared = {
                "batch_id": f"{worker}-b{k}", "batch_size": batch_size, "warmup": k == 0, "width": 64, "height": 64,
                "model": "tiny:flux.1-dev", "attention_backend": "sdpa-flash", "compiled": False, "gpu": GPU,
                "worker_id": worker, "started_at": NOW,
            } | columns  # fmt: skip
            for picture in range(batch_size):
                own = shared | {"id": f"r{w}-{k}-{picture}", "image_index": 0}
                images.append(
                    own
                    | {"steps": steps, "dtype": "bfloat16", "fingerprint": "00ff", "exact": True, "guidance_scale": 3.5}
                    | {"text_encode_ms": 1.0, "prepare_ms": 1.0, "denoise_ms": steps * step_ms, "decode_ms": 2.0}
                    | {"image": {"bytes": png, "path": "x.png"}, "prompt": "a fox", "seed": 1}
                    | columns
                    | ({"round": [0, *round_of][k]} if round_of is not None else {})
                )
                rows += [own | {"step": step, "step_ms": step_ms} for step in range(steps)]
    for table, found, schema in (("images", images, images_schema(extra)), ("steps", rows, STEPS)):
        (out / table).mkdir(parents=True)
        known = [{name: row.get(name) for name in schema.names} for row in found]
        pq.write_table(pa.Table.from_pylist(known, schema=schema), out / table / "part.parquet")
    facts = worker_facts(GPU, **({"versions": versions} if versions else {}))
    JobFile(
        {"model": "tiny:flux.1-dev", "format": "png"}, [], len(images), extra, NOW.isoformat(), device="cuda",
        model=describe_model(facts), hardware=[asdict(facts.hardware)], decisions={GPU: DECISIONS},
    ).write(locate(out))  # fmt: skip
    return str(out)
