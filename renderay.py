"""renderay: render manifests of prompts and images on every GPU of a Ray cluster, and leave Parquet.

    import renderay
    renderay.render("prompts.jsonl", model="black-forest-labs/FLUX.1-dev", out="s3://bucket/run-a")

The same from a shell: `renderay render prompts.jsonl --model ... --out ...`, or `python -m renderay render ...`.
"""

from __future__ import annotations

from jobs.api import render
from jobs.cli import main
from jobs.run import Summary
from manifests.errors import RenderayError

__all__ = ["RenderayError", "Summary", "main", "render"]

if __name__ == "__main__":
    main()
