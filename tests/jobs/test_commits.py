"""The commit log: what was appended is read back, what was torn is not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from jobs.commits import (
    CommitLog,
    Record,
    end_record,
    files_of,
    from_ranges,
    lease_record,
    new_run_id,
    read_log,
    run_record,
    strike_record,
    to_ranges,
)
from manifests.storage import Location, locate
from workers.settings import LeaseResult, TableFile

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FILES = (TableFile("images", "images-a.parquet", 3, 999), TableFile("steps", "steps-a.parquet", 6, 77))


@pytest.fixture(params=["local", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return locate(tmp_path / "out" if request.param == "local" else request.getfixturevalue("s3") + "/out")


@pytest.mark.parametrize(
    ("ordinals", "ranges"),
    [([], []), ([5], [5]), ([0, 1], [[0, 1]]), ([0, 2, 3, 4, 9], [0, [2, 4], 9]), ([7, 8, 10, 11], [[7, 8], [10, 11]])],
)
def test_ranges_are_the_shortest_spelling(ordinals: list[int], ranges: list[int | list[int]]) -> None:
    assert to_ranges(ordinals) == ranges


def test_ranges_give_back_what_went_in() -> None:
    dice = random.Random(1)
    for _ in range(200):
        ordinals = sorted(dice.sample(range(60), dice.randrange(40)))
        assert list(from_ranges(to_ranges(ordinals))) == ordinals


def test_records_are_found_across_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CommitLog(locate(tmp_path), "run-a")
    log.append([end_record(rows, NOW) for rows in range(20)])
    log.close()
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr("jobs.commits._CHUNK_BYTES", size)
        assert [record["rows"] for record in read_log(locate(tmp_path))] == list(range(20))


def test_records_come_back_in_the_order_of_their_runs(out: Location) -> None:
    first, second = (new_run_id(NOW + timedelta(seconds=k), "ffff" if k == 0 else "0000") for k in range(2))
    wanted: list[Record] = []
    for run in (first, second):
        log = CommitLog(out, run)
        for group in (
            [run_record(run, 9, NOW, pid=1)],
            [],
            [strike_record([3, 1, 2], "died", NOW), end_record(9, NOW)],
        ):
            log.append(group)
            wanted += group
        assert list(read_log(out)) == wanted, "durable before close"
        log.close()
    assert wanted[1]["rows"] == [[1, 3]]


def test_a_folder_without_a_log_has_no_records(out: Location) -> None:
    assert list(read_log(out)) == []


def test_a_lease_record_names_rows_and_files_and_no_pixels(out: Location) -> None:
    result = LeaseResult("run-000001", "w0", (4, 5, 6), (7,), 3, 1.23456, FILES)
    log = CommitLog(out, "run")
    log.append([lease_record(result, NOW)])
    log.close()
    [record] = read_log(out)
    assert files_of(record) == list(FILES)
    assert record | {"files": []} == {
        "kind": "lease", "lease": "run-000001", "worker": "w0", "time": NOW.timestamp(), "seconds": 1.235,
        "pictures": 3, "done": [[4, 6]], "failed": [7], "files": [],
    }  # fmt: skip


@pytest.mark.parametrize("cut", [1, 9, 20])
def test_a_line_torn_by_a_crash_is_ignored_and_the_next_run_is_read(tmp_path: Path, cut: int) -> None:
    out = locate(tmp_path)
    whole, torn = end_record(1, NOW), end_record(2, NOW)
    log = CommitLog(out, "run-a")
    log.append([whole])
    log.append([torn])
    log.close()
    [segment] = (tmp_path / "_commits").iterdir()
    segment.write_bytes(segment.read_bytes()[:-cut])
    expected = [whole, torn] if cut == 1 else [whole]  # without its line feed a record is whole all the same
    assert list(read_log(out)) == expected
    later = CommitLog(out, "run-b")
    later.append([end_record(3, NOW)])
    later.close()
    assert [record["rows"] for record in read_log(out)] == [*(record["rows"] for record in expected), 3]


def test_a_local_run_keeps_one_segment_and_an_object_store_one_object_a_group(tmp_path: Path, s3: str) -> None:
    counts = []
    for out in (locate(tmp_path), locate(s3)):
        log = CommitLog(out, "run")
        for k in range(12):
            log.append([end_record(k, NOW), end_record(k, NOW)])
        log.close()
        counts.append(len((out / "_commits").list()))
        assert [record["rows"] for record in read_log(out)] == [k for k in range(12) for _ in range(2)]
    assert counts == [1, 12]


def test_run_ids_sort_by_time_in_utc() -> None:
    assert new_run_id(NOW.astimezone(timezone(timedelta(hours=9))), "ab12") == "20260102T030405-ab12"
