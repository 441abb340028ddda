"""A bench worker whose process dies in a turn of one backend."""

from __future__ import annotations

import os
from collections.abc import Sequence

from manifests.row import Row
from workers.turns import TurnResult, TurnWorker


class DeadlyWorker(TurnWorker):
    """Dies when sdpa-math begins round 1."""

    def take(self, name: str, lease_id: str, rows: Sequence[Row]) -> TurnResult:
        if name.startswith("sdpa-math") and rows[0].extra["round"] == 1:
            os._exit(7)
        return super().take(name, lease_id, rows)
