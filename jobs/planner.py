"""Which rows go out next: fresh blocks in manifest order, retries first, rows that kill workers alone.

The planner reads the manifest a bounded window ahead and skips what the ledger holds. It knows neither Ray nor files.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from jobs.ledger import Ledger
from jobs.sizing import LeaseSizer
from manifests.plan import Block, Lease, Shape
from manifests.row import BadRow, Row

MAX_STRIKES = 3  # workers that one row may bring down before it is given up
SPLIT_AT = 2  # strikes from which a block is rendered picture by picture
WINDOW_ROWS = 1024


@dataclass(frozen=True)
class GivenUp:
    """A row that brought down MAX_STRIKES workers, and how the last one died."""

    row: Row
    strikes: int
    reason: str


class LeasePlanner:
    """Turns a stream of blocks and bad rows into leases.

    `bad_rows` and `given_up` gather what is to become errors rows; the driver takes them out.
    """

    def __init__(
        self, blocks: Iterator[Block | BadRow], ledger: Ledger, sizer: LeaseSizer, run_id: str, rows: int
    ) -> None:
        self.bad_rows: list[BadRow] = []
        self.given_up: list[GivenUp] = []
        self._blocks = blocks
        self._ledger = ledger
        self._sizer = sizer
        self._run_id = run_id
        self._rows_left = rows - ledger.finished(rows)  # not leased yet; an upper bound while bad rows are unread
        self._retries: deque[Lease] = deque()
        self._window: OrderedDict[Shape, deque[Block]] = OrderedDict()
        self._window_rows = 0
        self._read_all = False
        self._issued = 0

    def next_lease(self, workers: int) -> Lease | None:
        """The next lease, sized for that many workers; None while there is nothing to hand out."""
        if self._retries:
            return self._retries.popleft()
        self._fill_window()
        if self._retries:  # blocks struck in an earlier run
            return self._retries.popleft()
        if not self._window:
            return None
        shape, blocks = next(iter(self._window.items()))
        budget = self._sizer.rows(shape, workers, self._rows_left)
        taken: list[Block] = []
        rows = 0
        while blocks and (not taken or rows + len(blocks[0].rows) <= budget):
            taken.append(blocks.popleft())
            rows += len(taken[-1].rows)
        if not blocks:
            del self._window[shape]
        self._window_rows -= rows
        self._rows_left -= rows
        return self._lease(tuple(taken))

    @property
    def exhausted(self) -> bool:
        """Whether every row of the manifest has been handed out or found bad."""
        return self._read_all and not self._window and not self._retries

    def put_back(self, lease: Lease) -> None:
        """Hand out again, as it was, a lease that was never begun."""
        self._retries.append(self._lease(lease.blocks, lease.attempt, lease.split))

    def crashed(self, lease: Lease, guilty: tuple[int, ...], reason: str) -> None:
        """A worker died while rendering these ordinals of the lease: retry them apart, or give them up.

        The ledger must know of the strike already. The lease's other blocks go out again as they were.
        """
        suspects = set(guilty)
        innocent = tuple(block for block in lease.blocks if not any(row.ordinal in suspects for row in block.rows))
        if innocent:
            self._retries.append(self._lease(innocent, lease.attempt, lease.split))
        for block in lease.blocks:
            if block not in innocent:
                self._retry_block(block, reason)

    def _retry_block(self, block: Block, reason: str) -> None:
        """A struck block travels alone; once it is split, its rows travel alone too."""
        strikes = {row.ordinal: self._ledger.strikes[row.ordinal] for row in block.rows}
        worst = max(strikes.values())
        if worst < SPLIT_AT:
            self._retries.append(self._lease((block,), worst + 1))
            return
        for row in block.rows:
            count = strikes[row.ordinal]
            if count >= MAX_STRIKES:
                self.given_up.append(GivenUp(row, count, reason))
            else:
                self._retries.append(self._lease((Block(block.shape, (row,)),), max(2, count + 1), split=True))

    def _fill_window(self) -> None:
        while not self._read_all and self._window_rows < WINDOW_ROWS:
            block = next(self._blocks, None)
            if block is None:
                self._read_all = True
                self._rows_left = self._window_rows
            elif isinstance(block, BadRow):
                if block.ordinal not in self._ledger:
                    self.bad_rows.append(block)
                    self._rows_left -= 1
                    if len(self.bad_rows) >= WINDOW_ROWS:
                        return  # let the driver write them out
            else:
                self._take(block)

    def _take(self, block: Block) -> None:
        rows = tuple(row for row in block.rows if row.ordinal not in self._ledger)
        if not rows:
            return
        broken_up = len(rows) < len(block.rows)
        block = Block(block.shape, rows)
        if any(self._ledger.strikes[row.ordinal] for row in rows):
            self._rows_left -= len(rows)
            self._retry_block(block, "its worker died in an earlier run of this job")
            return
        if broken_up:  # the others of the block are done: what is left makes other batches, and must say so
            self._rows_left -= len(rows)
            self._retries += [self._lease((Block(block.shape, (row,)),), 2, split=True) for row in rows]
            return
        self._window.setdefault(block.shape, deque()).append(block)
        self._window_rows += len(rows)

    def _lease(self, blocks: tuple[Block, ...], attempt: int = 1, split: bool = False) -> Lease:
        self._issued += 1
        return Lease(f"{self._run_id}-{self._issued:06d}", blocks, attempt, split)
