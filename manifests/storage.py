"""Where files are: any URI becomes a `pyarrow.fs` filesystem and a path inside it.

Local paths, `file://`, `s3://` and `gs://` need nothing but pyarrow; every other scheme (`hf://`, `az://`, `memory://`)
goes through fsspec, if the package that serves it is installed. Everything in renderay that touches a file
that may be remote starts here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs

from manifests.errors import RenderayError, SpecError, one_line

_NATIVE_SCHEMES = ("s3", "gs", "gcs")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
_OPTIONS = re.compile(r"\?(region|endpoint_override|scheme|allow_bucket_creation|anonymous|retry_limit_seconds)=.*$")


@dataclass(frozen=True)
class Location:
    """A folder or file on some filesystem.

    `fs` is the filesystem, `path` the path inside it (no trailing slash), `uri` what the user wrote, made absolute.
    """

    fs: pafs.FileSystem
    path: str
    uri: str

    @property
    def is_local(self) -> bool:
        """Whether the path is on this machine's own filesystems."""
        return isinstance(self.fs, pafs.LocalFileSystem)

    def __truediv__(self, name: str) -> Location:
        before, options = _apart(self.uri)
        return Location(self.fs, posixpath.join(self.path, name), f"{before.rstrip('/')}/{name}{options}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    @property
    def parent(self) -> Location:
        """The folder that holds this path."""
        before, options = _apart(self.uri)
        return Location(self.fs, posixpath.dirname(self.path), posixpath.dirname(before.rstrip("/")) + options)

    def info(self) -> pafs.FileInfo:
        """Type, size and modification time; the type says NotFound where there is nothing."""
        return self.fs.get_file_info(self.path)

    def exists(self) -> bool:
        """Whether a file or folder is there."""
        return self.info().type != pafs.FileType.NotFound

    def list(self, recursive: bool = False) -> list[pafs.FileInfo]:
        """What the folder holds, sorted by path; nothing where the folder is missing."""
        found = self.fs.get_file_info(pafs.FileSelector(self.path, recursive=recursive, allow_not_found=True))
        return sorted(found, key=lambda info: info.path)

    def read_bytes(self) -> bytes:
        """The whole file. FileNotFoundError where there is none."""
        with self.fs.open_input_stream(self.path, compression=None) as stream:
            return bytes(stream.read())

    def write_bytes(self, data: bytes) -> None:
        """Replace the file as a whole: locally by rename, so that a reader sees the old or the new one, never half."""
        if not self.is_local:
            with self.fs.open_output_stream(self.path) as stream:
                stream.write(data)
            return
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        temporary = f"{self.path}.{os.getpid()}.tmp"
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)

    def make_folder(self) -> None:
        """Create the folder and those above it; object stores have none to create."""
        if self.is_local:
            os.makedirs(self.path, exist_ok=True)

    def delete(self) -> None:
        """Delete the file; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.delete_file(self.path)

    def delete_folder(self) -> None:
        """Delete the folder and all that is in it; nothing happens where there is none."""
        if self.exists():
            self.fs.delete_dir(self.path)

    def move_to(self, target: Location) -> None:
        """Rename to `target` on the same filesystem (object stores copy, then delete), replacing what is there."""
        self.fs.move(self.path, target.path)


def is_full(error: BaseException) -> bool:
    """Whether an error says that nothing more can be written: disk or quota full, size limit met, read-only."""
    return isinstance(error, OSError) and error.errno in _FULL


def locate(uri: str | os.PathLike[str]) -> Location:
    """Resolve a URI or a local path, relative ones against the current folder.

    Raises SpecError where the scheme is unknown, its package is missing or the address is malformed.
    """
    text = os.fspath(uri)
    scheme, separator, rest = text.partition("://")
    if not separator:
        path = os.path.abspath(os.path.expanduser(text))
        return Location(pafs.LocalFileSystem(), path, path)
    try:
        if scheme == "file":
            return locate(unquote(rest if rest.startswith("/") else "/" + rest.partition("/")[2]))
        if scheme in _NATIVE_SCHEMES:
            fs, path = _native(scheme, rest)
        else:
            fs, path = _through_fsspec(scheme, text)
    except RenderayError:
        raise
    except (ValueError, TypeError, OSError, ImportError, pa.ArrowException) as error:
        raise SpecError(f"{text}: cannot be opened: {one_line(error)}") from error
    return Location(fs, path.rstrip("/"), text.rstrip("/"))


def _apart(uri: str) -> tuple[str, str]:
    """A URI without its options, and the options of pyarrow's native filesystems, like `?region=eu-west-1`."""
    native = uri.partition("://")[0] in _NATIVE_SCHEMES
    if native and (found := _OPTIONS.search(uri)):
        return uri[: found.start()], found.group()
    return uri, ""


def _native(scheme: str, rest: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem comes from bucket and options alone: pyarrow's parser refuses keys with spaces or brackets."""
    before, options = _apart(f"{scheme}://{rest}")
    path = before.partition("://")[2]
    bucket = path.partition("/")[0]
    if not bucket:
        raise SpecError(f"{scheme}://{rest}: cannot be opened: it names no bucket")
    fs, _ = pafs.FileSystem.from_uri(f"{scheme}://{bucket}{options}")
    return fs, path


def _through_fsspec(scheme: str, text: str) -> tuple[pafs.FileSystem, str]:
    import fsspec
    from fsspec.core import url_to_fs

    if scheme not in fsspec.available_protocols():
        raise SpecError(
            f"{text}: unknown scheme {scheme}://; known here: local paths, s3://, gs://, hf:// and fsspec's"
        )
    fs, path = url_to_fs(text)
    return pafs.PyFileSystem(pafs.FSSpecHandler(fs)), path
