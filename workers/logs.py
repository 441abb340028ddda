"""Log files in OUT/_logs, on object stores too, which cannot append."""

from __future__ import annotations

import contextlib
import logging
from io import StringIO

from manifests.storage import Location

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogFile:
    """A log file at `location`; local ones grow line by line, others are written whole by `upload`."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._buffer: StringIO | None = None
        self._uploaded = 0
        if location.is_local:
            location.parent.make_folder()
            self.handler: logging.Handler = logging.FileHandler(location.path, delay=True)
        else:
            self._buffer = StringIO()
            self.handler = logging.StreamHandler(self._buffer)
        self.handler.setFormatter(logging.Formatter(_FORMAT))

    def upload(self) -> None:
        """Write a buffered log out, if it has grown; a store that refuses does not stop the work."""
        if self._buffer is None or self._buffer.tell() == self._uploaded:
            return
        text = self._buffer.getvalue()
        try:
            self._location.write_bytes(text.encode())
        except OSError:
            return
        self._uploaded = len(text)

    def close(self) -> None:
        """Stop logging to it."""
        self.upload()
        logging.getLogger().removeHandler(self.handler)
        with contextlib.suppress(OSError):
            self.handler.close()


def log_to(location: Location) -> LogFile:
    """Send everything that renderay logs in this process, and warnings of its libraries, to one file."""
    logging.raiseExceptions = False  # a log that cannot be written stops nothing and prints nothing
    file = LogFile(location)
    root = logging.getLogger()
    root.addHandler(file.handler)
    logging.getLogger("renderay").setLevel(logging.INFO)
    logging.captureWarnings(True)
    return file
