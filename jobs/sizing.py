"""How many rows the next lease takes: about a minute of work, less toward the job's end.

Where weights are swapped, a lease costs something whatever its size: then it is large enough for that not to matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from manifests.plan import MAX_LEASE_ROWS, Shape

_SMOOTHING = 0.3
_SWAP_SHARE = 0.05  # of a lease's time, at most, as far as MAX_LEASE_ROWS allows
_SWAP_SHARE_AT_END = 0.25


@dataclass
class LeaseSizer:
    """Learns seconds a row by shape from finished leases.

    `lease_seconds` is the work to aim for, `swap_seconds` what every lease costs besides its rows.
    """

    lease_seconds: float
    swap_seconds: float = 0.0
    _seconds_per_row: dict[Shape, float] = field(default_factory=dict)

    def learn(self, shape: Shape, rows: int, seconds: float) -> None:
        """Take a finished lease into account."""
        if rows:
            measured = max(0.0, seconds - self.swap_seconds) / rows
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
        share = -(-rows_left // (2 * max(1, workers)))
        if seconds == 0:
            return max(1, min(MAX_LEASE_ROWS, share))
        wanted = max(self.lease_seconds, self.swap_seconds / _SWAP_SHARE) / seconds
        least = self.swap_seconds / _SWAP_SHARE_AT_END / seconds
        return max(1, min(MAX_LEASE_ROWS, int(max(least, min(wanted, share)))))
