"""Where a job may begin, and what is left where it was refused: nothing, and of what was there before everything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.outfolder import clear_new_job, remove_folders, require_folder, require_vacant
from manifests.errors import OutputError
from manifests.storage import locate
from tests.conftest import digests, run, write_jsonl
from workers import demo

SAVED = str(demo.FOLDER)  # a folder: what its sizes must be a multiple of is known once it is loaded


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "m.jsonl", [{"id": "a", "prompt": "a star"}, {"id": "b", "prompt": "a sun"}])


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_job_that_a_worker_refuses_leaves_nothing_behind(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    ended = run("render", manifest, "--model", SAVED, "--out", out, "--width", "100")
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert ended.stderr.splitlines()[-1] == "renderay: width: 100: must be a multiple of 8; nearest: 96 and 104"
    assert tree(tmp_path).keys() == {"m.jsonl"}
    assert "no job in it" in run("status", out).stderr


@pytest.mark.parametrize("place", ["local", "s3"])
def test_what_is_cleared_is_ours_alone(request: pytest.FixtureRequest, tmp_path: Path, place: str) -> None:
    out = locate(tmp_path / "out" if place == "local" else request.getfixturevalue("s3") + "/refused")
    ours = ("_lock/driver.json", "_commits/r-000000.jsonl", "_logs/driver.log", "_staging/r/images/a", "job.json")
    for name in (*ours, ".git/HEAD"):
        (out / name).write_bytes(b"{}")
    clear_new_job(out, keep_logs=True)
    remove_folders(out, [])
    left = {info.base_name for info in out.list(recursive=True) if info.is_file}
    assert left == {"driver.log", "HEAD"}
    clear_new_job(out, keep_logs=False)
    assert {info.base_name for info in out.list(recursive=True) if info.is_file} == {"HEAD"}


def test_a_backend_that_cannot_be_used_leaves_nothing_behind(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = run("render", manifest, "--model", "tiny:flux.1-dev", "--out", out, "--gpus", "0", "--attention", "flash")
    assert ended.returncode == 2 and ended.stderr.splitlines()[-1].startswith("renderay: attention flash: ")
    assert not out.exists()


def test_a_job_that_was_there_before_stays_as_it_is(manifest: Path, tmp_path: Path) -> None:
    job = ["render", manifest, "--model", "tiny:flux.1-dev", "--out", tmp_path / "out", "--steps", "1", "--gpus", "0"]
    assert run(*job, "--limit", "1").returncode == 0
    before = {name: held for name, held in tree(tmp_path / "out").items() if not name.startswith("_")}
    refused = run(*job, "--offload", "swap")  # by the worker
    assert refused.returncode == 2 and "leave it out" in refused.stderr
    assert {name: held for name, held in tree(tmp_path / "out").items() if not name.startswith("_")} == before
    assert digests(tmp_path / "out").keys() == {("a", 0)}


@pytest.mark.parametrize("name", ["notes.txt", "images/mine.png", "report.html", "model/weights.bin"])
@pytest.mark.parametrize("place", ["local", "s3"])
def test_a_folder_with_other_files_in_it_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, place: str, name: str
) -> None:
    out = locate(tmp_path / "out" if place == "local" else request.getfixturevalue("s3") + "/run-a")
    require_vacant(out)
    (out / name).write_bytes(b"mine")
    with pytest.raises(OutputError) as refused:
        require_vacant(out)
    assert str(refused.value) == f"{out.uri}: holds {name.partition('/')[0]}, and no job; " + (
        "give an --out that is new or empty"
    )


def test_the_command_refuses_it_too_and_deletes_nothing(manifest: Path) -> None:
    for extra in ([], ["--dry-run"]):
        ended = run("render", manifest, "--model", "tiny:flux.1-dev", "--out", manifest.parent, *extra)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == f"renderay: {manifest.parent}: holds m.jsonl, and no job; " + (
            "give an --out that is new or empty\n"
        )
    assert tree(manifest.parent).keys() == {"m.jsonl"}


def test_of_many_foreign_files_three_are_named(tmp_path: Path) -> None:
    for name in ("e", "d", "c", "b", "a", ".hidden", "lost+found"):
        (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match=r": holds a, b, c and 2 more, and no job; "):
        require_vacant(locate(tmp_path))


def test_a_fresh_volume_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".snapshots").mkdir()
    require_vacant(locate(tmp_path))


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"/file: is a file, not a folder; give another --out$"):
        require_folder(locate(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"/file/a/b: /.*/file is a file, not a folder; "):
        require_folder(locate(tmp_path / "file" / "a" / "b"))


@pytest.fixture
def anyone() -> Iterator[None]:
    """Be a user with no rights of root's."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    tmp_path.chmod(0o555)
    request.getfixturevalue("anyone")
    out = locate(tmp_path / name)
    with pytest.raises(OutputError, match=r": cannot be (written|read): this user may not.*; give an.*--out"):
        require_folder(out)
        require_vacant(out)


def test_where_nothing_can_be_made_the_remedy_is_told(manifest: Path) -> None:
    ended = run("render", manifest, "--model", "tiny:flux.1-dev", "--out", "/proc/renderay")
    assert ended.returncode == 2 and ended.stderr.startswith("renderay: /proc/renderay: cannot be written: ")
    assert ended.stderr.endswith("; give an --out in a folder where files can be made\n") and "rrno" not in ended.stderr
