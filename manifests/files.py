"""Which files a manifest is made of, and a digest by which a later run knows them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from manifests.errors import ManifestError, one_line
from manifests.storage import Location, locate

_FORMATS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".csv": "csv", ".tsv": "tsv", ".txt": "text", ".parquet": "parquet",
}  # fmt: skip
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_KNOWN = f"{', '.join(_FORMATS)}; all but Parquet also with {', '.join(_COMPRESSIONS)}"
# They lie beside manifests in a folder, and a reader by extension would take their lines for prompts.
_BYSTANDERS = {"readme.txt", "license.txt", "requirements.txt", "dataset_info.json", "dataset_infos.json", "state.json"}
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class ManifestFile:
    """One file of a manifest: `format` is jsonl, csv, tsv, parquet or text, `size` its bytes as stored."""

    location: Location
    format: str
    size: int

    @property
    def compression(self) -> str | None:
        """What its lines are packed in, by pyarrow's name; None for plain files and Parquet."""
        return _split_name(self.location.name)[1]


def find_files(paths: Sequence[str]) -> list[ManifestFile]:
    """The manifest files that files, folders and globs name, in the order given, a folder's or glob's by path.

    A folder is searched to the bottom; names that begin with `_` or `.` and unknown extensions are passed over.
    Raises ManifestError where a path names nothing, or something unreadable, or a file twice.
    """
    found: dict[tuple[str, str], ManifestFile] = {}
    for path in paths:
        try:
            files = list(_expand(path))
            for file in files:
                # Only .json is opened: asking each of ten thousand .jsonl shards on S3 would take minutes.
                if re.search(r"\.json(\.\w+)?$", file.location.name.lower()):
                    _refuse_array(file)
        except (OSError, pa.ArrowException) as error:
            raise ManifestError(f"{path}: cannot be read: {one_line(error)}") from error
        for file in files:
            key = (file.location.fs.type_name, file.location.path)
            if key in found:
                raise ManifestError(f"{file.location.uri}: named twice; every file of a manifest may be given once")
            found[key] = file
    if not found:
        raise ManifestError("no manifest given; name a file, a folder or a glob")
    return list(found.values())


def digest(files: Sequence[ManifestFile]) -> list[dict[str, Any]]:
    """One {"uri", "bytes", "blake2b"} a file, by which a resumed job knows its manifest again.

    Text is hashed whole. Of Parquet only the footer is: shards with pictures inside are huge, and the footer holds the
    offset, size and statistics of every column chunk, so that other data has another footer.
    Raises ManifestError where a file is unreadable.
    """
    entries = []
    for file in files:
        try:
            hashed = _hash_footer(file) if file.format == "parquet" else _hash_whole(file)
        except (OSError, pa.ArrowException) as error:
            raise ManifestError(f"{file.location.uri}: cannot be read: {one_line(error)}") from error
        entries.append({"uri": file.location.uri, "bytes": file.size, "blake2b": hashed})
    return entries


def same_manifest(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two digests are of one manifest: names, order and content count, the folder does not (it may move)."""

    def identity(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
        return [(entry["uri"].rpartition("/")[2], entry["bytes"], entry["blake2b"]) for entry in entries]

    return identity(old) == identity(new)


def array_error(uri: str) -> ManifestError:
    """What to say where JSON Lines were expected and one JSON array was found."""
    return ManifestError(f"{uri}: is a JSON array; turn it into one object a line: jq -c '.[]' FILE.json > FILE.jsonl")


def _expand(path: str) -> Iterator[ManifestFile]:
    glob = _split_glob(path)
    if glob is not None:
        folder, pattern = glob
        matched = [file for file, parts in _below(locate(folder)) if _matches(parts, pattern)]
        if not matched:
            raise ManifestError(f"{path}: no file matches; known are {_KNOWN}")
        yield from matched
        return
    location = locate(path)
    info = location.info()
    if info.type == pafs.FileType.NotFound:
        raise ManifestError(f"{path}: no such file or folder")
    if info.type == pafs.FileType.Directory:
        if all((location / name).exists() for name in ("job.json", "_commits")):
            raise ManifestError(
                f"{path}: is the output folder of a job, not a manifest; give the manifest, its prompts"
            )
        inside = [file for file, parts in _below(location) if not any(part[0] in "_." for part in parts)]
        inside = [file for file in inside if file.location.name.lower() not in _BYSTANDERS]
        if not inside:
            raise ManifestError(f"{path}: the folder holds no manifest; known are {_KNOWN}")
        yield from inside
        return
    kind = _split_name(location.name)[0]
    if kind is None:
        raise ManifestError(f"{path}: unknown extension; known are {_KNOWN}")
    yield ManifestFile(location, kind, int(info.size))


def _below(folder: Location) -> Iterator[tuple[ManifestFile, list[str]]]:
    """Every file of a known extension under the folder, with the parts of its path from there."""
    for info in folder.list(recursive=True):
        kind = _split_name(info.base_name)[0]
        if info.type == pafs.FileType.File and kind is not None:
            parts = info.path[len(folder.path) :].strip("/").split("/")
            uri = folder.uri.rstrip("/") + "/" + "/".join(parts)
            yield ManifestFile(Location(folder.fs, info.path, uri), kind, int(info.size)), parts


def _split_name(name: str) -> tuple[str | None, str | None]:
    """Format and compression by extension."""
    stem, dot, last = name.lower().rpartition(".")
    compression = _COMPRESSIONS.get(dot + last) if stem else None
    extension = "." + (stem.rpartition(".")[2] if compression and "." in stem else last)
    kind = _FORMATS.get(extension)
    return (None, None) if compression and kind == "parquet" else (kind, compression)


def _split_glob(path: str) -> tuple[str, list[str]] | None:
    """The folder above the first pattern and the patterns, or None where the path is none (or a file's own name)."""
    parts = path.split("/")
    first = next((n for n, part in enumerate(parts) if any(mark in part for mark in "*?[")), None)
    if first is None or path.startswith(("http://", "https://")):
        return None
    if "://" in path and first < 3:
        raise ManifestError(f"{path}: the bucket's name cannot be a pattern")
    if locate(path).exists():
        return None  # `prompts [1].jsonl` is what browsers call a second download
    head = "/".join(parts[:first]) or ("/" if path.startswith("/") else ".")
    return head, [part for part in parts[first:] if part]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Shell rules: `**` spans folders, no other mark does, and a dot at the front must be asked for."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        hidden = next((n for n, part in enumerate(parts) if part[0] == "."), len(parts))
        return any(_matches(parts[n:], pattern[1:]) for n in range(hidden + 1))
    if not parts or (parts[0][0] == "." and pattern[0][0] != "."):
        return False
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _refuse_array(file: ManifestFile) -> None:
    with file.location.fs.open_input_stream(file.location.path, compression=file.compression) as stream:
        while chunk := stream.read(4096):
            text = chunk.removeprefix(b"\xef\xbb\xbf").lstrip()
            if text:
                if text.startswith(b"["):
                    raise array_error(file.location.uri)
                return


def _hash_whole(file: ManifestFile) -> str:
    hashed = hashlib.blake2b(digest_size=16)
    with file.location.fs.open_input_stream(file.location.path, compression=None) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()


def _hash_footer(file: ManifestFile) -> str:
    with file.location.fs.open_input_file(file.location.path) as source:
        source.seek(max(0, file.size - 8))
        tail = source.read(8)
        length = int.from_bytes(tail[:4], "little") + 8
        if tail[4:] != b"PAR1" or length + 4 > file.size:
            raise ManifestError(f"{file.location.uri}: cannot be read: no Parquet footer at its end")
        source.seek(file.size - length)
        return hashlib.blake2b(source.read(length), digest_size=16).hexdigest()
