"""What the commit log adds up to: which rows are done, which failed, which brought workers down.

One bit a manifest row, so that 100 million rows take 25 MB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jobs.commits import Record, from_ranges


class Bitmap:
    """A growing set of small non-negative integers."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self.count = 0

    def __contains__(self, value: int) -> bool:
        byte = value >> 3
        return byte < len(self._bits) and bool(self._bits[byte] >> (value & 7) & 1)

    def add(self, value: int) -> None:
        """Put a value in."""
        if value not in self:
            byte = value >> 3
            if byte >= len(self._bits):
                self._bits.extend(bytes(byte + 1 - len(self._bits) + 4096))
            self._bits[byte] |= 1 << (value & 7)
            self.count += 1

    def discard(self, value: int) -> None:
        """Take a value out."""
        if value in self:
            self._bits[value >> 3] &= ~(1 << (value & 7))
            self.count -= 1

    def count_below(self, limit: int) -> int:
        """How many values are less than `limit`."""
        whole, rest = divmod(limit, 8)
        bits = int.from_bytes(self._bits[:whole], "little").bit_count()
        if rest and whole < len(self._bits):
            bits += (self._bits[whole] & ((1 << rest) - 1)).bit_count()
        return bits


class Ledger:
    """The state of a job. `done` and `failed` hold manifest ordinals, `strikes` how many workers a row took down."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.done = Bitmap()
        self.failed = Bitmap()
        self.pictures = 0
        self.opened = False  # whether every table has a file
        self.strikes: Counter[int] = Counter()
        self.rows: int | None = None  # that the job takes, as far as its latest run knew
        self.ended_rows = 0  # the longest prefix of the manifest known to be complete
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Take one record of the log into account; kinds of later versions are ignored."""
        kind = record["kind"]
        if kind == "lease":
            self.opened |= record["lease"].endswith("-open")
            for ordinal in from_ranges(record["done"]):
                self.done.add(ordinal)
            for ordinal in from_ranges(record["failed"]):
                self.failed.add(ordinal)
            self.pictures += record["pictures"]
        elif kind == "strike":
            self.strikes.update(from_ranges(record["rows"]))
        elif kind == "run":
            self.rows = record["rows"]
        elif kind == "end":
            self.ended_rows = max(self.ended_rows, record["rows"])
        elif kind == "withdraw":
            for ordinal in from_ranges(record["done"]):
                self.done.discard(ordinal)
            for ordinal in from_ranges(record["failed"]):
                self.failed.discard(ordinal)
            self.pictures -= record["pictures"]
            self.opened &= not record["lease"].endswith("-open")
            self.ended_rows = 0

    def __contains__(self, ordinal: int) -> bool:
        """Whether the row needs no more work."""
        return ordinal in self.done or ordinal in self.failed

    def finished(self, rows: int) -> int:
        """How many of the manifest's first `rows` rows are done or failed."""
        return self.done.count_below(rows) + self.failed.count_below(rows)
