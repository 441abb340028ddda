"""The slowest pictures, against what pictures of their shape usually take."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.results.report.database import Connection, rows

SLOWEST = 20


@dataclass(frozen=True)
class SlowPicture:
    """One picture: its share of its batch in ms, how many times its shape's median that is, and where it was made."""

    ordinal: int
    image_index: int
    picture_ms: float
    times_median: float
    denoise_ms: float
    worker: str
    began: float

    @property
    def key(self) -> tuple[int, int]:
        """Ordinal and image index."""
        return self.ordinal, self.image_index


def slowest(connection: Connection) -> list[SlowPicture]:
    """The slowest of the pictures measured, the slowest first."""
    found = rows(
        connection,
        """
        with usual as (select shape, median(picture_ms) as usual_ms from measured group by shape)
        select ordinal, image_index, picture_ms, picture_ms / nullif(usual_ms, 0) as times_median, denoise_ms,
            regexp_extract(worker_id, '[^-]*$') as worker, began
        from measured join usual using (shape) order by picture_ms desc, ordinal, image_index limit ?
        """,
        SLOWEST,
    )
    return [SlowPicture(**row | {"times_median": row["times_median"] or 1.0}) for row in found]
