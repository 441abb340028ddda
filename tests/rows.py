"""Rows made without a manifest, for tests that begin behind reading and validating."""

from __future__ import annotations

from typing import Any

from manifests.plan import Block, Lease, shape_of
from manifests.row import BadRow, Row

_ROW: dict[str, Any] = {
    "source_file": "m.jsonl",
    "negative_prompt": None,
    "images": (),
    "width": 64,
    "height": 64,
    "steps": 2,
    "guidance_scale": 3.5,
    "true_cfg_scale": None,
    "seed": None,
    "num_images": 1,
    "params": {},
    "extra": {},
}


def make_row(ordinal: int = 0, **changes: Any) -> Row:
    """The row `rORDINAL` of m.jsonl."""
    own = {
        "id": f"r{ordinal}",
        "ordinal": ordinal,
        "source_line": ordinal + 1,
        "prompt": f"picture {ordinal}",
    }
    return Row(**(_ROW | own | changes))


def bad_row(ordinal: int) -> BadRow:
    """A row of m.jsonl without a prompt."""
    return BadRow(ordinal, f"r{ordinal}", "m.jsonl", ordinal + 1, "prompt", "missing; every row needs one")


def lease_of(*rows: Row, lease_id: str = "run-000001", **options: Any) -> Lease:
    """One lease of one block."""
    return Lease(lease_id, (Block(shape_of(rows[0]), rows),), **options)
