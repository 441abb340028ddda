"""Finding manifest files, and knowing them again."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.errors import ManifestError
from manifests.files import digest, find_files, same_manifest


def _tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"prompt": "a"}\n')
    return root


def _names(root: Path, *paths: str) -> list[str]:
    return [str(Path(file.location.path).relative_to(root)) for file in find_files(paths)]


@pytest.mark.parametrize(
    ("name", "format", "compression"),
    [
        ("a.jsonl", "jsonl", None), ("a.NDJSON", "jsonl", None), ("a.json", "jsonl", None), ("a.csv", "csv", None),
        ("a.tsv", "tsv", None), ("a.txt", "text", None), ("a.parquet", "parquet", None), ("a.b.csv", "csv", None),
        ("a.jsonl.gz", "jsonl", "gzip"), ("a.csv.zst", "csv", "zstd"), ("a.txt.bz2", "text", "bz2"),
    ],
)  # fmt: skip
def test_format_and_compression_come_from_the_extension(
    tmp_path: Path, name: str, format: str, compression: str | None
) -> None:
    (tmp_path / name).write_bytes(b"{}")
    [file] = find_files([str(tmp_path / name)])
    assert (file.format, file.compression, file.size) == (format, compression, 2)


def test_a_folder_is_searched_to_the_bottom_in_path_order(tmp_path: Path) -> None:
    _tree(tmp_path, "b.jsonl", "a/z.csv", "a/_tmp.csv", ".hidden/x.jsonl", "_commits/x.jsonl", "cat.png", "README.txt")
    assert _names(tmp_path, str(tmp_path)) == ["a/z.csv", "b.jsonl"]
    assert [file.location.uri for file in find_files([str(tmp_path)])] == [f"{tmp_path}/a/z.csv", f"{tmp_path}/b.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jsonl", ["b.jsonl"]),
        ("?.jsonl", ["b.jsonl"]),
        ("[a-c].jsonl", ["b.jsonl"]),
        ("*/*.jsonl", ["a/c.jsonl"]),
        ("a*/**", ["a/c.jsonl", "a/d/e.jsonl"]),
        ("**/*.jsonl", ["a/c.jsonl", "a/d/e.jsonl", "b.jsonl"]),
        (".h*/*", [".h/x.jsonl"]),
    ],
)
def test_globs_follow_the_shell(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    _tree(tmp_path, "b.jsonl", "a/c.jsonl", "a/d/e.jsonl", ".h/x.jsonl", "b.png")
    assert _names(tmp_path, f"{tmp_path}/{pattern}") == expected


def test_a_relative_glob_starts_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_tree(tmp_path, "b.jsonl"))
    assert _names(tmp_path, "*.jsonl") == ["b.jsonl"]


def test_a_file_whose_own_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    _tree(tmp_path, "p [1].jsonl", "p 1.jsonl")
    assert _names(tmp_path, f"{tmp_path}/p [1].jsonl") == ["p [1].jsonl"]


def test_globs_and_folders_work_on_other_filesystems() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/glob-test/a/x.jsonl": b'{"prompt": "a"}\n', "/glob-test/y.csv": b"prompt\na\n"})
    assert [file.location.uri for file in find_files(["memory://glob-test/*/*.jsonl"])] == [
        "memory://glob-test/a/x.jsonl"
    ]
    assert [file.format for file in find_files(["memory://glob-test"])] == ["jsonl", "csv"]


@pytest.mark.parametrize(
    ("names", "paths", "reason"),
    [
        ([], ["no.jsonl"], "no such file"),
        ([], ["*.jsonl"], "no file matches"),
        (["a.png"], ["a.png"], "unknown extension"),
        (["a.parquet.gz"], ["a.parquet.gz"], "unknown extension"),
        (["a.png"], [""], "holds no manifest"),
        (["a.jsonl"], ["a.jsonl", "*.jsonl"], "named twice"),
        (["a.jsonl"], ["", "a.jsonl"], "named twice"),
    ],
)
def test_what_cannot_be_found_is_said_in_one_line(
    tmp_path: Path, names: list[str], paths: list[str], reason: str
) -> None:
    _tree(tmp_path, *names)
    with pytest.raises(ManifestError, match=reason) as caught:
        find_files([str(tmp_path / path) for path in paths])
    assert "\n" not in str(caught.value)


def test_no_path_at_all_is_an_error() -> None:
    with pytest.raises(ManifestError, match="no manifest given"):
        find_files([])


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_a_json_array_is_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    data = b'\xef\xbb\xbf\n  [{"prompt": "a"}]'
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(ManifestError, match=r"JSON array.*jq"):
        find_files([str(tmp_path / name)])


def test_a_bucket_name_is_no_pattern() -> None:
    with pytest.raises(ManifestError, match="bucket"):
        find_files(["s3://buck*/a.jsonl"])


def test_digest_knows_a_moved_manifest_and_notices_every_change(tmp_path: Path) -> None:
    first = _tree(tmp_path / "one", "a.jsonl", "b.jsonl")
    shutil.copytree(first, tmp_path / "two")
    old, moved = digest(find_files([str(first)])), digest(find_files([str(tmp_path / "two")]))
    assert old[0].keys() == {"uri", "bytes", "blake2b"} and old[0]["bytes"] == 16 and len(old[0]["blake2b"]) == 32
    assert same_manifest(old, moved)
    assert not same_manifest(old, moved[:1])
    assert not same_manifest(old, moved[::-1])
    (tmp_path / "two" / "b.jsonl").write_text('{"prompt": "b"}\n')  # as long as before
    assert not same_manifest(old, digest(find_files([str(tmp_path / "two")])))


def test_digest_of_parquet_follows_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    seen = []
    for prompts in (["a", "b"], ["a", "b"], ["a", "c"]):
        pq.write_table(pa.table({"prompt": prompts}), path)
        seen.append(digest(find_files([str(path)]))[0]["blake2b"])
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("data", [b"", b"short", b"no parquet, but longer than twelve bytes"])
def test_digest_names_a_damaged_parquet_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.parquet").write_bytes(data)
    with pytest.raises(ManifestError, match=r"bad\.parquet"):
        digest(find_files([str(tmp_path / "bad.parquet")]))
