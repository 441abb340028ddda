"""Rows to blocks to batches: the same cut whoever renders, in whatever order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

import pytest

from manifests.plan import MAX_LEASE_ROWS, Block, Picture, Shape, block_rows, cut_batches, cut_blocks, shape_of
from manifests.row import BadRow, ImageRef, Row
from tests.rows import bad_row, make_row


def manifest(seed: int, count: int, shapes: int) -> list[Row | BadRow]:
    dice = random.Random(seed)
    return [
        bad_row(k)
        if dice.random() < 0.05
        else make_row(k, width=64 + 16 * dice.randrange(shapes), num_images=dice.choice([1, 1, 1, 3]))
        for k in range(count)
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_in_one_block_of_its_shape_in_manifest_order(seed: int, batch_size: int) -> None:
    rows = manifest(seed, 700, 2 + 3 * seed)
    cut = list(cut_blocks(rows, batch_size))
    blocks = [block for block in cut if isinstance(block, Block)]
    assert [row for row in cut if isinstance(row, BadRow)] == [row for row in rows if isinstance(row, BadRow)]
    by_shape: dict[Shape, list[Row]] = defaultdict(list)
    for block in blocks:
        assert {shape_of(row) for row in block.rows} == {block.shape}
        by_shape[block.shape] += block.rows
    for shape, found in by_shape.items():
        assert found == [row for row in rows if isinstance(row, Row) and shape_of(row) == shape]
        sizes = [len(block.rows) for block in blocks if block.shape == shape]
        assert set(sizes[:-1]) <= {block_rows(batch_size, shape.num_images)}, "only a shape's last block is short"


def test_the_cut_of_a_prefix_is_settled_whatever_follows() -> None:
    rows = manifest(9, 600, 5)
    whole = [block for block in cut_blocks(rows, 2) if isinstance(block, Block)]
    for end in (100, 333, 599):
        full = [
            b
            for b in cut_blocks(rows[:end], 2)
            if isinstance(b, Block) and len(b.rows) == block_rows(2, b.shape.num_images)
        ]
        assert full == whole[: len(full)]


def test_a_rare_shape_does_not_wait_for_the_manifests_end() -> None:
    read = -1

    def rows() -> Iterator[Row]:
        nonlocal read
        for read in range(20_000):
            yield make_row(read, width=128 if read == 10 else 64)

    for block in cut_blocks(rows(), 4):
        if isinstance(block, Block) and block.rows[0].ordinal == 10:
            break
    assert 10 < read < 6000


def test_ever_changing_shapes_are_let_go() -> None:
    read, seen = 0, 0

    def rows() -> Iterator[Row]:
        nonlocal read
        for read in range(1, 2001):
            yield make_row(read, steps=read)

    for _ in cut_blocks(rows(), 4):
        seen += 1
        assert read - seen <= 300
    assert seen == 2000


@pytest.mark.parametrize(
    ("batch_size", "num_images", "rows"),
    [(1, 1, 1), (1, 9, 1), (2, 1, 8), (4, 1, 16), (4, 3, 5), (4, 100, 1), (64, 1, MAX_LEASE_ROWS)],
)
def test_a_block_is_a_fixed_few_batches(batch_size: int, num_images: int, rows: int) -> None:
    assert block_rows(batch_size, num_images) == rows


@pytest.mark.parametrize(
    "change",
    [
        {"width": 80}, {"height": 80}, {"steps": 3}, {"num_images": 2}, {"guidance_scale": 1.0},
        {"true_cfg_scale": 4.0}, {"negative_prompt": ""}, {"params": {"max_sequence_length": 64}},
        {"images": (ImageRef("/a.png", None),)},
    ],
)  # fmt: skip
def test_what_a_call_must_share_is_in_the_shape(change: dict[str, object]) -> None:
    assert shape_of(make_row(0, **change)) != shape_of(make_row(0))


def test_what_a_call_need_not_share_is_not() -> None:
    left = make_row(0, negative_prompt="a", params={"a": 1, "b": {"c": 2}}, seed=1, extra={"x": 1})
    right = make_row(7, negative_prompt="b", params={"b": {"c": 2}, "a": 1}, prompt="other")
    assert shape_of(left) == shape_of(right)


def pictures(count: int) -> list[Picture]:
    return [Picture(make_row(k), 0, k) for k in range(count)]


def test_batches_are_cut_by_length_and_keep_their_order() -> None:
    some = pictures(7)
    batches = cut_batches(some, [9, 5, 9, 9, 5, 9, 9], 2)
    assert [[picture.row.ordinal for picture in batch] for batch in batches] == [[0, 2], [3, 5], [6], [1, 4]]


def test_every_picture_is_in_one_batch() -> None:
    dice = random.Random(3)
    for _ in range(50):
        some, size = pictures(dice.randrange(1, 30)), dice.randrange(1, 8)
        lengths = [dice.randrange(3) for _ in some]
        batches = cut_batches(some, lengths, size)
        assert sorted(picture.seed for batch in batches for picture in batch) == list(range(len(some)))
        assert all(1 <= len(batch) <= size and len({lengths[p.seed] for p in batch}) == 1 for batch in batches)


def test_a_length_for_every_picture_is_asked_for() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        cut_batches(pictures(3), [1, 2], 2)
