"""The bytes of a reference image, from wherever a row says it is: in time, in bounds, tried again where that may help.

Credentials in a URI (user:password@, a signature or token in the query) appear neither in messages nor in what
`without_credentials` returns, which goes into the tables.
"""

from __future__ import annotations

import base64
import functools
import re
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from http.client import HTTPException, InvalidURL
from threading import Event, Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from manifests.errors import RenderayError, named_line, one_line
from manifests.row import ImageRef
from manifests.storage import locate

MIB = 2**20
_CHUNK = 256 * 1024  # bytes
_FIRST_WAIT = 0.5  # seconds before the second try; each further one is twice as long
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_FINAL = re.compile(
    r"ACCESS_DENIED|NO_SUCH_|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|Forbidden|is a directory", re.IGNORECASE
)
_SECRET_NAME = re.compile(r"sig|token|key|cred|secret|pass|auth|code|^x-(amz|goog|ms)-", re.IGNORECASE)
_SECRET_LENGTH = 24  # characters from which on a query value may be a key, whatever its name


class ReferenceFailed(Exception):
    """A reference image cannot be had; one line: value, limit, remedy. What may pass was already tried again."""


class _Transient(Exception):
    """Reading failed in a way that may pass."""


class ReferenceReader:
    """Reads encoded files: local, http, and whatever `manifests.storage` reaches."""

    def __init__(self, timeout_seconds: float, tries: int, max_bytes: int) -> None:
        self.closed = Event()
        self._timeout, self._tries, self._max_bytes = timeout_seconds, tries, max_bytes

    def read(self, ref: ImageRef) -> bytes:
        """The bytes of an image; what may pass is tried again, `tries` times in all, ever later."""
        reason = ""
        for attempt in range(self._tries):
            if attempt and self.closed.wait(_FIRST_WAIT * 2 ** (attempt - 1)):
                break
            try:
                return self._read_in_time(ref)
            except _Transient as error:
                reason = str(error)
            except ReferenceFailed as error:
                raise ReferenceFailed(f"{name_of(ref)}: {error}") from None
        raise ReferenceFailed(
            f"{name_of(ref)}: {reason}; given up after {self._tries} tries; check the source, then run the job again"
        )

    def _read_in_time(self, ref: ImageRef) -> bytes:
        if ref.data is not None:
            self._check_size(len(ref.data))
            return ref.data
        uri = ref.uri or ""
        read = self._read_http if uri.startswith(("http://", "https://")) else self._read_file
        future: Future[bytes] = Future()
        # its own thread: neither a name lookup nor a file system that hangs can be told to stop
        Thread(target=settle, args=(future, functools.partial(read, uri)), name="reference-read", daemon=True).start()
        try:
            return future.result(self._timeout)
        except TimeoutError:
            raise _Transient(f"not read within {self._timeout:g} s") from None
        except (_Transient, ReferenceFailed):
            raise
        except Exception as error:
            raise _classify(error, uri) from None

    def _read_http(self, uri: str) -> bytes:
        try:
            response = urlopen(_request(uri), timeout=self._timeout)
        except HTTPError as error:
            error.close()
            answer = f"the server answers {error.code} {error.reason}".rstrip()
            if error.code in _TRANSIENT_STATUS:
                raise _Transient(answer) from None
            raise ReferenceFailed(f"{answer}; check the address and its access rights") from None
        with response:
            expected = int(response.headers.get("Content-Length") or 0)
            self._check_size(expected)
            data = self._gather(iter(lambda: response.read1(_CHUNK), b""))
        if len(data) < expected:
            raise _Transient(f"the connection ended after {len(data)} of {expected} bytes")
        return data

    def _read_file(self, uri: str) -> bytes:
        location = locate(uri)
        with closing(location.fs.open_input_stream(location.path, compression=None)) as stream:
            return self._gather(iter(lambda: stream.read(_CHUNK), b""))

    def _gather(self, chunks: Iterator[bytes]) -> bytes:
        ends = time.monotonic() + self._timeout
        data = bytearray()
        for chunk in chunks:
            data += chunk
            self._check_size(len(data))
            if time.monotonic() > ends:
                raise TimeoutError
        return bytes(data)

    def _check_size(self, count: int) -> None:
        if count > self._max_bytes:
            found, limit = count / MIB, self._max_bytes / MIB
            raise ReferenceFailed(f"{found:.1f} MiB or more; at most {limit:g} MiB are read; make it smaller")


def _request(uri: str) -> Request:
    parts = urlsplit(uri)
    credentials, _, host = parts.netloc.rpartition("@")
    if not host.isascii():
        host = host.encode("idna").decode()
    path = quote(parts.path, safe="/%:=~+!$,;'@()*&") + ("?" if parts.query else "")
    query = quote(parts.query, safe="/%:=~+!$,;'@()*&?[]|")
    request = Request(f"{parts.scheme}://{host}{path}{query}", headers={"User-Agent": "renderay"})
    if credentials:
        code = base64.b64encode(unquote(credentials).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {code}")
    return request


def _classify(error: Exception, uri: str) -> Exception:
    """What a reader raised, as a failure that is final or one that may pass."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    quoted = without_credentials(uri) != uri  # the text may hold them
    reason = type(cause).__name__ if quoted else named_line(cause, 300)
    if isinstance(cause, FileNotFoundError):
        return ReferenceFailed("not found; check the path")
    if isinstance(cause, (PermissionError, IsADirectoryError, NotADirectoryError, ssl.SSLCertVerificationError)):
        return ReferenceFailed(f"{reason}; check the path and its access rights")
    final = isinstance(cause, InvalidURL) or _FINAL.search(str(cause))
    if isinstance(cause, (OSError, HTTPException)) and not final:
        return _Transient(reason)
    if isinstance(cause, RenderayError) and not quoted:
        return ReferenceFailed(one_line(cause, 300))
    return ReferenceFailed(f"cannot be read: {reason}")


def settle(future: Future[Any], function: Callable[[], Any]) -> None:
    """Give the future what the function returns or raises."""
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)


def public_uri(ref: ImageRef) -> str | None:
    """Where the image is, without credentials; None for one given as bytes."""
    return ref.uri and without_credentials(ref.uri)


def name_of(ref: ImageRef) -> str:
    """What messages call it."""
    return f"reference image {public_uri(ref) or 'given as bytes'}"


def without_credentials(uri: str) -> str:
    """The URI without user:password@ and with `...` for whatever in its query may be a key."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    head, mark, query = rest.partition("?")
    authority = head.partition("/")[0]
    if "@" in authority:
        head = head[authority.rindex("@") + 1 :]
    elif "@" in head and re.match(r"[^/:]*:(?!\d*(/|$))", head):  # a slash inside the password
        head = head[head.rindex("@") + 1 :]
    return scheme + separator + head + mark + "&".join(_public_value(part) for part in query.split("&"))


def _public_value(part: str) -> str:
    name, equals, value = part.partition("=")
    if not equals:
        name, value = "", part
    hidden = len(value) >= _SECRET_LENGTH or (equals and _SECRET_NAME.search(name))
    return f"{name}{equals}..." if hidden else part
