"""Which pictures the gallery shows: all of a small job, else a draw that is the same every time.

Parquet readers fetch a picture by reading its whole row group, up to 128 MB. So from a large job the draw takes as many
leases as `READ_BYTES` allow, in the order of a hash of their ids, and from these the pictures, in the order of theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobs.results.report.database import Connection, rows

READ_BYTES = 2 << 30

Key = tuple[int, int]  # ordinal, image_index


@dataclass(frozen=True)
class Sample:
    """The pictures to show by lease, and what they were drawn from; `slow` of them are there for being slow."""

    by_lease: dict[str, list[Key]]
    drawn: int
    slow: int
    pictures: int
    leases: int
    leases_drawn: int

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self.drawn == self.pictures


def draw(connection: Connection, sizes: Mapping[str, int], limit: int, always: Iterable[Key]) -> Sample:
    """Draw up to `limit` pictures, with `always` (the slow ones) on top. `sizes` are the bytes of each lease's file."""
    leases = [row["lease_id"] for row in rows(connection, _LEASES)]
    chosen: set[str] = set()
    left = READ_BYTES
    for lease in leases:
        left -= sizes.get(lease, 0)
        if chosen and left < 0:
            break
        chosen.add(lease)
    connection.execute("create or replace temp table chosen (lease_id varchar)")
    if len(chosen) < len(leases):
        connection.execute("insert into chosen select unnest(?)", [sorted(chosen)])
    drawn = rows(connection, _PICTURES if len(chosen) < len(leases) else _ALL_PICTURES, limit)
    by_lease: dict[str, list[Key]] = defaultdict(list)
    keys = set()
    for row in drawn:
        keys.add((row["ordinal"], row["image_index"]))
        by_lease[row["lease_id"]].append((row["ordinal"], row["image_index"]))
    extra = [key for key in always if key not in keys]
    for key in extra:
        (row,) = rows(connection, "select lease_id from pictures where ordinal = ? and image_index = ?", *key)
        by_lease[row["lease_id"]].append(key)
    (count,) = rows(connection, "select count(*) as pictures from pictures")
    return Sample(dict(by_lease), len(drawn), len(extra), count["pictures"], len(leases), len(chosen))


_LEASES = "select lease_id from pictures group by lease_id order by md5(lease_id), lease_id"
_ALL_PICTURES = """
select lease_id, ordinal, image_index from pictures
order by md5(id || '/' || image_index), ordinal, image_index limit ?
"""
_PICTURES = _ALL_PICTURES.replace("from pictures", "from pictures semi join chosen using (lease_id)")
