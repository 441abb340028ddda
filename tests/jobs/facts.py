"""A worker's answers without a worker."""

from __future__ import annotations

from typing import Any

from manifests.validate import OPTIONAL
from workers.families import Defaults
from workers.hardware import Hardware
from workers.model import ModelFacts
from workers.settings import Decisions, WorkerFacts

DECISIONS = Decisions(2, "sdpa", False, {"attention": "asked for by name"})


def worker_facts(gpu: str | None = None, **changes: Any) -> WorkerFacts:
    """Facts of a worker on a CPU, or on the GPU named; `changes` are fields of its model."""
    model: dict[str, Any] = {
        "model": "tiny:flux.1-dev",
        "revision": None,
        "fingerprint": "00ff",
        "pipeline": "FluxPipeline",
        "family": "flux.1-dev",
        "dtype": "float32",
        "defaults": Defaults(width=64, height=64, steps=4, guidance_scale=3.5),
        "size_multiple": 16,
        "sizes": (),
        "parameters": frozenset({"prompt", "max_sequence_length"}),
        "columns": OPTIONAL,
        "min_images": 0,
        "max_images": 0,
        "max_batch": None,
        "versions": {"torch": "2.13", "diffusers": "0.42", "transformers": "5.23", "ray": "2.60"},
        "load_seconds": 1.0,
    }
    hardware = Hardware("node-a", "cuda" if gpu else "cpu", gpu, None, 16.0, "a cpu")
    return WorkerFacts("run-w0", ModelFacts(**(model | changes)), hardware)
