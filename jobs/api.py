"""The Python face of a job: rendering one, and reading what it left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from jobs.results.opened import Results, open_results
from jobs.run import Summary
from jobs.run import render as run_job
from jobs.spec import make_spec


def render(
    manifest: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, model: str, out: str, **options: Any
) -> Summary:
    """Render a manifest into `out`, or what is left of it; blocks until done.

    `options` are those of `renderay render`, with underscores (`batch_size=4`, `column=("prompt=Prompt",)`).
    Raises RenderayError, one line, where the job cannot start or has to stop.
    """
    paths = [manifest] if isinstance(manifest, str | os.PathLike) else manifest
    return run_job(make_spec(manifest=tuple(os.fspath(path) for path in paths), model=model, out=out, **options))


def open(out: str | os.PathLike[str]) -> Results:
    """Open a job's output folder, finished or not, for Arrow, pandas, Polars and DuckDB.

    Raises OutputError where no job is in it.
    """
    return open_results(out)
