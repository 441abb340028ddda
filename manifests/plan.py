"""From rows to blocks, leases and batches: the same cut for every worker, order and resume.

    rows ──cut_blocks──> blocks ──Lease──> one worker ──cut_batches──> one pipeline call each

Batch composition changes the last bit of a picture, so everything here depends on the manifest and the job's batch
size alone. A block is the unit that is never split between leases: one row at batch size 1, otherwise a fixed few
batches of rows of one shape. A row that is rendered again after it brought a worker down is the one exception; its
lease then says so (`split`, `attempt`).
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from manifests.row import BadRow, Row

BATCHES_PER_BLOCK = 4  # room to sort by token length inside a block, yet small enough to spread over workers
MAX_LEASE_ROWS = 64
_MAX_OPEN_SHAPES = 256  # bounds what a manifest of ever-changing shapes can hold in memory
_MAX_BLOCK_SPAN = 4096  # rows; a rare shape does not wait for its block to fill until the manifest ends


@dataclass(frozen=True, slots=True)
class Shape:
    """All that the pictures of one pipeline call must share: what fixes tensor shapes, and its scalar arguments.

    Sizes are in pixels. `params` is canonical JSON. `images` counts reference images.
    """

    width: int | None
    height: int | None
    steps: int | None
    num_images: int
    guidance_scale: float | None
    true_cfg_scale: float | None
    negative: bool
    images: int
    params: str


def shape_of(row: Row) -> Shape:
    """The shape that decides which rows may be batched with this one."""
    return Shape(
        row.width,
        row.height,
        row.steps,
        row.num_images,
        row.guidance_scale,
        row.true_cfg_scale,
        row.negative_prompt is not None,
        len(row.images),
        json.dumps(row.params, sort_keys=True) if row.params else "",
    )


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one shape, in manifest order, that always travel together."""

    shape: Shape
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """Whole blocks of one shape for one worker; the unit of commit.

    `lease_id` is unique over all runs on an output folder. `attempt` is 1, or one more than the times that these rows
    brought a worker down. With `split` every picture is a batch of its own.
    """

    lease_id: str
    blocks: tuple[Block, ...]
    attempt: int = 1
    split: bool = False

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, block by block."""
        return tuple(row for block in self.blocks for row in block.rows)


def block_rows(batch_size: int, num_images: int) -> int:
    """How many rows a full block of this batch size (pictures a call) holds."""
    if batch_size == 1:
        return 1
    return max(1, min(MAX_LEASE_ROWS, BATCHES_PER_BLOCK * batch_size // num_images))


def cut_blocks(rows: Iterable[Row | BadRow], batch_size: int) -> Iterator[Block | BadRow]:
    """Gather rows into blocks by shape, streaming; bad rows pass through as they come.

    Rows of one shape stay in manifest order. Memory is bounded by the open shapes, not by the manifest.
    """
    open_blocks: OrderedDict[Shape, list[Row]] = OrderedDict()
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        shape = shape_of(row)
        members = open_blocks.setdefault(shape, [])
        members.append(row)
        if len(members) >= block_rows(batch_size, shape.num_images):
            yield Block(shape, tuple(open_blocks.pop(shape)))
        # the dict is in order of each block's first row: the oldest one is the only candidate
        oldest = next(iter(open_blocks.items()), None)
        if oldest and (len(open_blocks) > _MAX_OPEN_SHAPES or row.ordinal - oldest[1][0].ordinal >= _MAX_BLOCK_SPAN):
            yield Block(oldest[0], tuple(open_blocks.pop(oldest[0])))
    for shape, members in open_blocks.items():
        yield Block(shape, tuple(members))


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture to render: picture `image_index` of a row, from `seed`."""

    row: Row
    image_index: int
    seed: int


def cut_batches(pictures: Sequence[Picture], lengths: Sequence[Hashable], batch_size: int) -> list[list[Picture]]:
    """Cut one block's pictures into pipeline calls of at most `batch_size`.

    `lengths[k]` says which pictures may share a call (token lengths, where the model cares); pictures of equal length
    keep their order, lengths come in order of first appearance.
    """
    groups: OrderedDict[Hashable, list[Picture]] = OrderedDict()
    for picture, length in zip(pictures, lengths, strict=True):
        groups.setdefault(length, []).append(picture)
    return [group[k : k + batch_size] for group in groups.values() for k in range(0, len(group), batch_size)]
