"""The files of a lease hold whole manifest rows or their errors, never half a row."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from manifests.row import Row
from manifests.storage import locate
from tests.rows import make_row
from workers.lease_output import LeaseOutput
from workers.records import failure_record

Record = dict[str, Any]


@pytest.fixture
def output(tmp_path: Path) -> LeaseOutput:
    return LeaseOutput(locate(tmp_path), "lease", {})


def add(output: LeaseOutput, row: Row, *indices: int) -> None:
    for k in indices:
        image = {"id": row.id, "image_index": k, "image": {"bytes": b"x", "path": "p"}}
        output.picture(row, image, [{"id": row.id, "image_index": k, "step": step} for step in range(2)])


def fail(output: LeaseOutput, row: Row) -> None:
    output.failure(row, failure_record(row, "denoise", ValueError("no"), 2, "w0"))


def tables(output: LeaseOutput, out: Path) -> dict[str, list[Record]]:
    return {file.table: pq.read_table(out / "_staging" / file.name).to_pylist() for file in output.close()}


def test_the_pictures_of_a_row_are_written_together_in_order(output: LeaseOutput, tmp_path: Path) -> None:
    row = make_row(0, num_images=3)
    add(output, row, 2, 0)
    assert output.done == set() and output.pictures == 0
    add(output, row, 1)
    assert output.done == {0} and output.pictures == 3
    found = tables(output, tmp_path)
    assert set(found) == {"images", "steps"}
    assert [image["image_index"] for image in found["images"]] == [0, 1, 2]
    assert [(step["image_index"], step["step"]) for step in found["steps"]] == [
        (k, s) for k in range(3) for s in (0, 1)
    ]


@pytest.mark.parametrize("before", [(), (0,), (0, 1)])
def test_one_picture_that_fails_fails_its_row_and_no_other(
    output: LeaseOutput, tmp_path: Path, before: tuple[int, ...]
) -> None:
    bad, good = make_row(0, num_images=3), make_row(1)
    add(output, bad, *before)
    fail(output, bad)
    add(output, bad, 2)
    fail(output, bad)
    add(output, good, 0)
    assert (output.done, output.failed, output.pictures) == ({1}, {0}, 1)
    assert output.has_failed(bad) and not output.has_failed(good)
    found = tables(output, tmp_path)
    assert [row["id"] for row in found["images"]] == ["r1"] and {row["id"] for row in found["steps"]} == {"r1"}
    [error] = found["errors"]
    assert (error["id"], error["stage"], error["error_type"], error["message"], error["attempts"]) == (
        "r0", "denoise", "ValueError", "no", 2,
    )  # fmt: skip
    assert "ValueError: no" in error["traceback"]


def test_a_row_that_is_done_cannot_fail_any_more(output: LeaseOutput, tmp_path: Path) -> None:
    row = make_row(0)
    add(output, row, 0)
    fail(output, row)  # a neighbour in its batch could not be written
    assert (output.done, output.failed) == ({0}, set())
    assert set(tables(output, tmp_path)) == {"images", "steps"}


def test_many_threads_lose_and_double_nothing(output: LeaseOutput, tmp_path: Path) -> None:
    rows = [make_row(k, num_images=2) for k in range(150)]

    def work(k: int) -> None:
        row = rows[k // 2]
        if k % 14 == 3:
            fail(output, row)
        else:
            add(output, row, k % 2)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(300)))
    failed = {k // 2 for k in range(300) if k % 14 == 3}
    assert set(output.failed) == failed and set(output.done) == set(range(150)) - failed
    found = tables(output, tmp_path)
    assert Counter(row["id"] for row in found["images"]) == Counter({f"r{k}": 2 for k in output.done})
    assert Counter(row["id"] for row in found["errors"]) == Counter(f"r{k}" for k in failed)


def test_a_row_that_is_neither_whole_nor_failed_is_a_bug_and_said_so(output: LeaseOutput) -> None:
    add(output, make_row(3, num_images=2), 0)
    with pytest.raises(RuntimeError, match=r"rows \[3\]"):
        output.close()


def test_discarding_leaves_nothing_staged(output: LeaseOutput, tmp_path: Path) -> None:
    add(output, make_row(0), 0)
    output.discard()
    assert list(tmp_path.rglob("*.parquet")) == []
