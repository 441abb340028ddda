"""One way to every file: local, in memory through fsspec, on S3."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from manifests.errors import SpecError
from manifests.storage import Location, locate

ODD = ["a b", "[1] x", "50% & more", "ü#?.jsonl", "a=b+c", 'q\'s "x"']


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        return locate(tmp_path / "root")
    if request.param == "memory":
        return locate(f"memory://{uuid.uuid4().hex}/root")
    return locate(request.getfixturevalue("s3") + "/root")


def names(folder: Location, recursive: bool = False) -> list[str]:
    found = folder.list(recursive)
    return [info.path[len(folder.path) :].strip("/") for info in found if info.type == pafs.FileType.File]


def test_bytes_come_back_and_replace_what_was_there(root: Location) -> None:
    file = root / "folder" / "a.bin"
    assert not file.exists()
    for data in (b"first, and longer", b"then", b""):
        file.write_bytes(data)
        assert file.read_bytes() == data and file.info().size == len(data)
    assert names(root / "folder") == ["a.bin"], "nothing temporary is left"


def test_what_is_not_there_is_said_in_pythons_words_and_listed_as_nothing(root: Location) -> None:
    with pytest.raises(FileNotFoundError):
        (root / "no").read_bytes()
    assert (root / "no").list() == []
    (root / "no").delete()


def test_lists_are_sorted_and_may_go_deep(root: Location) -> None:
    for name in ("b", "a", "c/d", "c/b"):
        (root / "f" / name).write_bytes(b"")
    assert names(root / "f") == ["a", "b"]
    assert names(root / "f", recursive=True) == ["a", "b", "c/b", "c/d"]


def test_options_of_a_uri_stay_behind_its_path() -> None:
    job = locate("s3://bucket/run?region=eu-west-1&scheme=https")
    table = job / "images"
    assert table.uri == "s3://bucket/run/images?region=eu-west-1&scheme=https"
    assert table.parent == job and locate(table.uri).path == table.path == "bucket/run/images"


def test_a_folder_goes_with_all_in_it(root: Location) -> None:
    (root / "shown" / "deep" / "x").write_bytes(b"")
    (root / "kept").write_bytes(b"")
    (root / "shown").delete_folder()
    (root / "shown").delete_folder()
    assert names(root, recursive=True) == ["kept"]


def test_a_file_moves_and_replaces(root: Location) -> None:
    source, target = root / "_staging" / "x", root / "images" / "x"
    target.write_bytes(b"old")
    source.write_bytes(b"new")
    source.move_to(target)
    assert target.read_bytes() == b"new" and not source.exists()
    target.delete()
    assert not target.exists()


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_kept_to_the_letter(root: Location, name: str) -> None:
    (root / name / "x.txt").write_bytes(name.encode())
    assert names(root, recursive=True) == [f"{name}/x.txt"]
    again = locate(f"{root.uri}/{name}/x.txt")
    assert again.read_bytes() == name.encode()
    assert (again.name, again.parent.name, again.parent.parent.path) == ("x.txt", name, root.path)


def test_only_local_folders_are_local(root: Location) -> None:
    assert root.is_local == isinstance(root.fs, pafs.LocalFileSystem) == ("://" not in root.uri)


def test_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert locate("a/../b/").path == locate("a/../b/").uri == f"{tmp_path}/b"
    assert locate("~/x").path == f"{tmp_path}/home/x"
    assert locate(f"file://{tmp_path}/a%20b").path == f"{tmp_path}/a b"
    assert locate(f"file://localhost{tmp_path}/a").path == f"{tmp_path}/a"


def test_a_uri_keeps_its_shape() -> None:
    location = locate("memory://bucket/a/") / "b.jsonl"
    assert location.uri == "memory://bucket/a/b.jsonl" and location.parent.uri == "memory://bucket/a"


def test_s3_takes_its_endpoint_from_the_uri_too(s3: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    host = s3_server.removeprefix("http://")
    out = locate(f"{s3}/a b?endpoint_override={host}&scheme=http&region=us-east-1")
    (out / "x").write_bytes(b"1")
    assert out.path.endswith("/a b") and names(out) == ["x"]


@pytest.mark.parametrize(
    ("uri", "reason"),
    [("nope://a/b", "unknown scheme nope://"), ("az://account/a", "cannot be opened")],
)
def test_an_address_that_leads_nowhere_is_one_line(uri: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason) as refused:
        locate(uri)
    assert "\n" not in str(refused.value) and uri in str(refused.value)


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    file = locate(tmp_path / "f")
    file.write_bytes(b"old")
    with open(file.path, "rb") as reader:
        before = os.stat(file.path).st_ino
        file.write_bytes(b"new and longer")
        assert reader.read() == b"old"
    assert os.stat(file.path).st_ino != before, "replaced by rename, not written over"
