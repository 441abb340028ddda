"""How many rows the next lease takes: about a minute of work, less toward the job's end."""

from __future__ import annotations

from dataclasses import dataclass, field

from manifests.plan import MAX_LEASE_ROWS, Shape

_SMOOTHING = 0.3


@dataclass
class LeaseSizer:
    """Learns seconds a row by shape from finished leases; `lease_seconds` is the work to aim for."""

    lease_seconds: float
    _seconds_per_row: dict[Shape, float] = field(default_factory=dict)

    def learn(self, shape: Shape, rows: int, seconds: float) -> None:
        """Take a finished lease into account."""
        if rows:
            measured = seconds / rows
            known = self._seconds_per_row.get(shape, measured)
            self._seconds_per_row[shape] = known + _SMOOTHING * (measured - known)

    def rows(self, shape: Shape, workers: int, rows_left: int) -> int:
        """The most rows that the next lease of a shape may take, at least 1.

        A shape not timed yet gets one block. With `rows_left` not yet leased, every worker keeps two leases' worth to
        come, so that no one waits long for a straggler.
        """
        seconds = self._seconds_per_row.get(shape)
        if seconds is None:
            return 1
        wanted = self.lease_seconds / seconds if seconds > 0 else MAX_LEASE_ROWS
        share = -(-rows_left // (2 * max(1, workers)))
        return max(1, min(MAX_LEASE_ROWS, int(wanted), share))
