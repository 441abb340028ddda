"""renderay: render manifests of prompts and images on every GPU of a Ray cluster, and leave Parquet.

    import renderay
    renderay.render("prompts.jsonl", model="black-forest-labs/FLUX.1-dev", out="s3://bucket/run-a")
    renderay.open("s3://bucket/run-a").sql("select step, median(step_ms) from steps group by step")

The same from a shell: `renderay render prompts.jsonl --model ... --out ...`, or `python -m renderay render ...`.
"""

from __future__ import annotations

from jobs.api import open, render
from jobs.cli import main
from jobs.results.opened import Results, ResultTable
from jobs.results.pictures import Picture
from jobs.run import Summary
from manifests.errors import RenderayError

__all__ = ["Picture", "RenderayError", "ResultTable", "Results", "Summary", "main", "open", "render"]

if __name__ == "__main__":
    main()
