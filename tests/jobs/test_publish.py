"""Rolling a folder forward after a crash, on a disk and on S3: the tables hold what the log names, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.commits import CommitLog, lease_record, read_log
from jobs.ledger import Ledger
from jobs.publish import Publisher, clear_staging, is_intact, roll_forward
from manifests.storage import Location, locate
from workers.settings import LeaseResult, TableFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["local", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return locate(tmp_path / "out" if request.param == "local" else request.getfixturevalue("s3") + "/run a")


@pytest.fixture
def log(out: Location) -> Iterator[CommitLog]:
    log = CommitLog(out, "run-1")
    yield log
    log.close()


def staged(out: Location, lease: str, *tables: str) -> tuple[TableFile, ...]:
    """Files that a worker left in `_staging/`; each holds its own name."""
    files = tuple(
        TableFile(table, f"{table}-{lease}.parquet", 1, len(f"{table}-{lease}.parquet"))
        for table in tables or ("images", "steps")
    )
    for file in files:
        (out / "_staging" / file.name).write_bytes(file.name.encode())
    return files


def committed(log: CommitLog, lease: str, ordinal: int, files: tuple[TableFile, ...]) -> None:
    log.append([lease_record(LeaseResult(lease, "w0", (ordinal,), (), 1, 1.0, files), NOW)])


def tree(out: Location) -> dict[str, bytes]:
    """Every file of the tables and of staging, by its path inside `out`."""
    return {
        f"{folder}/{info.base_name}": (out / folder / info.base_name).read_bytes()
        for folder in ("images", "steps", "errors", "_staging")
        for info in (out / folder).list()
    }


def test_published_files_lie_flat_under_their_leases_names(out: Location) -> None:
    publisher = Publisher(out)
    publisher.publish(staged(out, "a", "images", "errors"))
    publisher.publish([])
    publisher.close()
    assert tree(out) == {"images/a.parquet": b"images-a.parquet", "errors/a.parquet": b"errors-a.parquet"}


def test_what_the_log_names_is_published(out: Location, log: CommitLog) -> None:
    committed(log, "a", 0, staged(out, "a"))
    roll_forward(out, log, NOW)
    assert tree(out) == {"images/a.parquet": b"images-a.parquet", "steps/a.parquet": b"steps-a.parquet"}
    assert Ledger(read_log(out)).done.count == 1


def test_a_crash_between_two_files_of_a_lease_is_mended(out: Location, log: CommitLog) -> None:
    files = staged(out, "a")
    committed(log, "a", 0, files)
    Publisher(out).publish(files[:1])
    roll_forward(out, log, NOW)
    assert set(tree(out)) == {"images/a.parquet", "steps/a.parquet"}


def test_what_the_log_does_not_name_is_deleted(out: Location, log: CommitLog) -> None:
    committed(log, "a", 0, staged(out, "a"))
    staged(out, "zombie")
    (out / "_staging" / "run-w0.breadcrumb").write_bytes(b"{}")
    Publisher(out).publish(staged(out, "orphan"))
    roll_forward(out, log, NOW)
    assert set(tree(out)) == {"images/a.parquet", "steps/a.parquet"}


@pytest.mark.parametrize("lost", ["images", "steps"])
def test_a_lease_that_lost_a_file_is_withdrawn_whole(out: Location, log: CommitLog, lost: str) -> None:
    for ordinal, lease in enumerate("ab"):
        files = staged(out, lease)
        committed(log, lease, ordinal, files)
        Publisher(out).publish(files)
    (out / lost / "a.parquet").delete()
    roll_forward(out, log, NOW)
    assert set(tree(out)) == {"images/b.parquet", "steps/b.parquet"}
    ledger = Ledger(read_log(out))
    assert 0 not in ledger and 1 in ledger and ledger.pictures == 1


def test_rolling_forward_again_changes_nothing(out: Location, log: CommitLog) -> None:
    for ordinal, lease in enumerate("abc"):
        committed(log, lease, ordinal, staged(out, lease))
    Publisher(out).publish(staged(out, "orphan"))
    (out / "_staging" / "images-b.parquet").delete()  # withdrawn
    roll_forward(out, log, NOW)
    before, records = tree(out), list(read_log(out))
    assert set(before) == {f"{table}/{lease}.parquet" for table in ("images", "steps") for lease in "ac"}
    roll_forward(out, log, NOW)
    assert tree(out) == before and list(read_log(out)) == records


def test_a_new_folder_is_rolled_forward_to_nothing(out: Location, log: CommitLog) -> None:
    roll_forward(out, log, NOW)
    assert tree(out) == {} and list(read_log(out)) == []


def test_clearing_staging_leaves_the_tables(out: Location) -> None:
    Publisher(out).publish(staged(out, "a"))
    staged(out, "b")
    clear_staging(out)
    assert set(tree(out)) == {"images/a.parquet", "steps/a.parquet"}


def test_tables_are_intact_only_as_the_log_names_them(out: Location, log: CommitLog) -> None:
    files = staged(out, "a")
    committed(log, "a", 0, files)
    assert not is_intact(out)
    Publisher(out).publish(files)
    assert is_intact(out)
    (out / "images" / "junk.parquet").write_bytes(b"junk")
    assert not is_intact(out)
    roll_forward(out, log, NOW)
    assert is_intact(out)
    (out / "images" / "a.parquet").write_bytes(b"")  # cut short
    assert not is_intact(out)
    roll_forward(out, log, NOW)
    assert tree(out) == {} and list(Ledger(read_log(out)).strikes) == [] and 0 not in Ledger(read_log(out))


def test_a_folder_that_another_program_made_is_left_alone(out: Location, log: CommitLog) -> None:
    if not out.is_local:
        return
    committed(log, "a", 0, staged(out, "a"))
    (out / "images" / ".ipynb_checkpoints").make_folder()
    roll_forward(out, log, NOW)
    assert is_intact(out) and (out / "images" / ".ipynb_checkpoints").exists()
