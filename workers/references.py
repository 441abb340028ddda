"""Reference images, fetched and decoded in threads ahead of the GPU.

    row.images ──prefetch──> waiting ──thread: read, decode──> kept, least recently used go first ──get──> RGB

Rows are got in the order in which they were prefetched; one that is passed over (it failed before its turn) lets go of
its place. `get` also serves rows that nobody prefetched. Memory is bounded: no further image is started while those
that wait for their row hold half of `keep_bytes`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock, Thread
from typing import TYPE_CHECKING

from manifests.row import ImageRef, Row
from workers.decode import decode
from workers.reference_files import MIB, ReferenceFailed, ReferenceReader, name_of, public_uri, settle

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Reference", "ReferenceFailed", "ReferenceFetcher"]
_MAX_KEPT = 1024  # images, however small


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
        self._reader = ReferenceReader(timeout_seconds, tries, max_bytes)
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
        settle(future, lambda: self._load(ref))
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
            return Reference(public_uri(ref), sha256(data).hexdigest(), decode(data, self._max_pixels))
        except ReferenceFailed as error:
            raise ReferenceFailed(f"{name_of(ref)}: {error}") from None


def _key(ref: ImageRef) -> str:
    return ref.uri or sha256(ref.data or b"").hexdigest()
