"""Reference images, fetched and decoded in threads ahead of the GPU.

    row.images ──prefetch──> waiting ──thread: read, decode──> kept, least recently used go first ──get──> RGB

Rows are got in the order in which they were prefetched; one that is passed over (it failed before its turn) lets go of
its place. `get` also serves rows that nobody prefetched. Memory is bounded: no further image is started while those
that wait for their row hold half of `keep_bytes`.

Credentials in a URI (user:password@, a signature or token in the query) appear neither in messages nor in
`Reference.uri`, which goes into the tables.
"""

from __future__ import annotations

import base64
import functools
import io
import re
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException, InvalidURL
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from manifests.errors import RenderayError
from manifests.row import ImageRef, Row
from manifests.storage import locate

if TYPE_CHECKING:
    from PIL.Image import Image

MIB = 2**20
# what Pillow reads without running other programs (its EPS would start Ghostscript)
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "ICO", "TGA")
_CHUNK = 256 * 1024  # bytes
_MAX_KEPT = 1024  # images, however small
_FIRST_WAIT = 0.5  # seconds before the second try; each further one is twice as long
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_FINAL = re.compile(
    r"ACCESS_DENIED|NO_SUCH_|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|Forbidden|is a directory", re.IGNORECASE
)
_SECRET_NAME = re.compile(r"sig|token|key|cred|secret|pass|auth|code|^x-(amz|goog|ms)-", re.IGNORECASE)
_SECRET_LENGTH = 24  # characters from which on a query value may be a key, whatever its name
_TURNS = {  # EXIF orientation -> member of PIL.Image.Transpose that makes it upright
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


class ReferenceFailed(Exception):
    """A reference image cannot be had; one line: value, limit, remedy. What may pass was already tried again."""


class _Transient(Exception):
    """Reading failed in a way that may pass."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A decoded reference image.

    `uri` is where it came from, without credentials, None for one given as bytes; `sha256` the hex digest of the
    encoded file; `image` is upright 8-bit RGB and shared between rows: not to be changed.
    """

    uri: str | None
    sha256: str
    image: Image


@dataclass(slots=True)
class _Entry:
    """One image, being fetched or there. `ahead`: prefetched, and its row has not come yet."""

    turn: int
    future: Future[Reference]
    ahead: bool

    def memory(self) -> int:
        """Bytes; Pillow keeps 4 per RGB pixel."""
        if not self.future.done() or self.future.exception():
            return 0
        width, height = self.future.result().image.size
        return 4 * width * height


class ReferenceFetcher:
    """Fetches and decodes the reference images of rows, `threads` at once.

    `timeout_seconds` bounds one try to read a file, `max_bytes` its encoded size, `max_pixels` its width times height,
    `keep_bytes` the memory of the decoded images that are kept.
    """

    def __init__(
        self,
        threads: int = 8,
        timeout_seconds: float = 30,
        tries: int = 3,
        max_bytes: int = 64 * MIB,
        max_pixels: int = 64_000_000,
        keep_bytes: int = 1024 * MIB,
    ) -> None:
        self._threads, self._keep_bytes, self._max_pixels = threads, keep_bytes, max_pixels
        self._reader = _Reader(timeout_seconds, tries, max_bytes)
        self._lock = Lock()
        self._turns = 0
        self._waiting: OrderedDict[str, tuple[int, ImageRef]] = OrderedDict()  # key -> turn and image, not started
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # least recently used first

    def prefetch(self, rows: Iterable[Row]) -> None:
        """Start on the images of rows that will be got later, in this order. Returns at once."""
        refs = [(_key(ref), ref) for row in rows for ref in row.images]
        with self._lock:
            for key, ref in refs:
                if key in self._entries:
                    self._entries.move_to_end(key)
                elif key not in self._waiting:
                    self._turns += 1
                    self._waiting[key] = (self._turns, ref)
            self._start_some()

    def get(self, row: Row) -> list[Reference]:
        """The images of a row in its order; waits for them. ReferenceFailed where one cannot be had."""
        refs = [(_key(ref), ref) for ref in row.images]
        with self._lock:
            futures = [self._ask(key, ref) for key, ref in refs]
            self._start_some()
        found = []
        for (key, _), future in zip(refs, futures, strict=True):
            error = future.exception()
            if error is None:
                found.append(future.result())
                continue
            with self._lock:  # a failure is told once: the next row that needs the image tries again
                if key in self._entries and self._entries[key].future is future:
                    del self._entries[key]
            # raised anew: one exception raised twice would carry both tracebacks
            raise ReferenceFailed(str(error)) if isinstance(error, ReferenceFailed) else error
        return found

    def close(self) -> None:
        """Forget what waits and what is kept; a thread in the middle of a file ends by itself."""
        self._reader.closed.set()
        with self._lock:
            self._waiting.clear()
            self._entries.clear()

    def _ask(self, key: str, ref: ImageRef) -> Future[Reference]:
        if key not in self._entries:
            turn, _ = self._waiting.pop(key, (0, ref))
            self._start(key, turn, ref)
        asked = self._entries[key]
        self._entries.move_to_end(key)
        asked.ahead = False
        for entry in self._entries.values():  # whatever came before has had its turn
            entry.ahead = entry.ahead and entry.turn > asked.turn
        while self._waiting and next(iter(self._waiting.values()))[0] < asked.turn:
            self._waiting.popitem(last=False)
        return asked.future

    def _start_some(self) -> None:
        running = sum(not entry.future.done() for entry in self._entries.values())
        ahead = [entry.memory() for entry in self._entries.values() if entry.ahead]
        room = _MAX_KEPT // 2 - len(ahead) if sum(ahead) <= self._keep_bytes // 2 else 0
        for _ in range(min(len(self._waiting), self._threads - running, room)):
            key, (turn, ref) = self._waiting.popitem(last=False)
            self._start(key, turn, ref, ahead=True)

    def _start(self, key: str, turn: int, ref: ImageRef, ahead: bool = False) -> None:
        future: Future[Reference] = Future()
        self._entries[key] = _Entry(turn, future, ahead)
        # daemons, so that a source that hangs does not keep the process from ending
        Thread(target=self._fetch, args=(ref, future), name="reference", daemon=True).start()

    def _fetch(self, ref: ImageRef, future: Future[Reference]) -> None:
        _settle(future, lambda: self._load(ref))
        with self._lock:
            self._drop_some()
            self._start_some()

    def _drop_some(self) -> None:
        """Let go of failures that no row waits for, and of the least recently used; what is still to be got last."""
        kept = sum(entry.memory() for entry in self._entries.values())
        done = [(key, entry) for key, entry in self._entries.items() if entry.future.done()]
        for key, entry in sorted(done, key=lambda item: item[1].ahead):
            failed = entry.future.exception() is not None and not entry.ahead
            if failed or kept > self._keep_bytes or len(self._entries) > _MAX_KEPT:
                kept -= entry.memory()
                del self._entries[key]

    def _load(self, ref: ImageRef) -> Reference:
        data = self._reader.read(ref)
        try:
            return Reference(_public(ref), sha256(data).hexdigest(), decode(data, self._max_pixels))
        except ReferenceFailed as error:
            raise ReferenceFailed(f"{_name(ref)}: {error}") from None


def _settle(future: Future[Any], function: Callable[[], Any]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)


def _key(ref: ImageRef) -> str:
    return ref.uri or sha256(ref.data or b"").hexdigest()


def _public(ref: ImageRef) -> str | None:
    return ref.uri and without_credentials(ref.uri)


def _name(ref: ImageRef) -> str:
    return f"reference image {_public(ref) or 'given as bytes'}"


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


class _Reader:
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
                raise ReferenceFailed(f"{_name(ref)}: {error}") from None
        raise ReferenceFailed(
            f"{_name(ref)}: {reason}; given up after {self._tries} tries; check the source, then run the job again"
        )

    def _read_in_time(self, ref: ImageRef) -> bytes:
        if ref.data is not None:
            self._check_size(len(ref.data))
            return ref.data
        uri = ref.uri or ""
        read = self._read_http if uri.startswith(("http://", "https://")) else self._read_file
        future: Future[bytes] = Future()
        # its own thread: neither a name lookup nor a file system that hangs can be told to stop
        Thread(target=_settle, args=(future, functools.partial(read, uri)), name="reference-read", daemon=True).start()
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
    text = " ".join(str(cause).split())[:300]
    if without_credentials(uri) != uri:
        text = ""  # it may quote them
    reason = f"{type(cause).__name__}: {text}".rstrip(": ")
    if isinstance(cause, FileNotFoundError):
        return ReferenceFailed("not found; check the path")
    if isinstance(cause, (PermissionError, IsADirectoryError, NotADirectoryError, ssl.SSLCertVerificationError)):
        return ReferenceFailed(f"{reason}; check the path and its access rights")
    final = isinstance(cause, InvalidURL) or _FINAL.search(str(cause))
    if isinstance(cause, (OSError, HTTPException)) and not final:
        return _Transient(reason)
    return ReferenceFailed(text if text and isinstance(cause, RenderayError) else f"cannot be read: {reason}")


def decode(data: bytes, max_pixels: int) -> Image:
    """An encoded image -> upright 8-bit RGB of its first frame: alpha on white, 16-bit greyscale scaled.

    ReferenceFailed where it is no image, damaged, or more than `max_pixels` (width times height).
    """
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data), formats=_formats()) as image:
            _check_pixels(image, max_pixels)
            image.load()
            _check_pixels(image, max_pixels)  # a container may have announced less
            return _upright(_to_rgb(image), image)
    except ReferenceFailed:
        raise
    except PIL.UnidentifiedImageError:
        kinds = f"it begins with {data[:8]!r}" if data else "it is empty"
        raise ReferenceFailed(f"not an image that can be read ({kinds}); convert it to PNG or JPEG") from None
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise ReferenceFailed(f"more than {max_pixels / 1e6:g} megapixels; make it smaller") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        text = " ".join(str(error).split())[:200]
        raise ReferenceFailed(f"damaged or not supported ({type(error).__name__}: {text}); save it anew") from None


@functools.cache
def _formats() -> tuple[str, ...]:
    import PIL.Image

    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def _check_pixels(image: Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        found, limit = width * height / 1e6, max_pixels / 1e6
        raise ReferenceFailed(
            f"{width}x{height} are {found:.1f} megapixels; at most {limit:g} are decoded; make it smaller"
        )


def _to_rgb(image: Image) -> Image:
    import PIL.Image

    if image.mode.startswith("I"):
        return _grey_from_16_bits(image).convert("RGB")
    if image.mode == "F":
        raise ReferenceFailed("pixels are floating point, of unknown range; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = PIL.Image.new("RGBA", rgba.size, "white")
    return PIL.Image.alpha_composite(white, rgba).convert("RGB")


def _grey_from_16_bits(image: Image) -> Image:
    import numpy as np
    import PIL.Image

    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ReferenceFailed(
            f"pixels from {low} to {high}; greyscale of at most 16 bits is read; save it with 8 or 16"
        )
    return PIL.Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _upright(rgb: Image, source: Image) -> Image:
    """Turned as the EXIF data of `source` says; those that cannot be read say nothing, as to any viewer."""
    import PIL.Image

    try:
        turn = _TURNS.get(source.getexif().get(0x0112, 1))
    except Exception:
        return rgb
    return rgb if turn is None else rgb.transpose(PIL.Image.Transpose[turn])
