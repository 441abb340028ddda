"""The demo: a real job, end to end, on any machine."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jobs.spec import JobSpec, make_spec

MODEL = "tiny:flux.1-dev"


def demo_spec(out: str) -> JobSpec:
    """The demo's job: the manifest that ships with renderay, rendered by a tiny model."""
    manifest = Path(str(files("jobs") / "demo.jsonl"))
    return make_spec(manifest=(str(manifest),), model=MODEL, out=out)
