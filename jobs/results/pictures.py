"""A job's pictures in the order of its manifest, whatever order they were rendered in.

One part (a Parquet file, what one lease left) is in memory at a time, two where their rows interleave; its pictures are
read when the first of them is wanted.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from itertools import islice
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from jobs.results.installed import need
from jobs.results.views import add_views
from manifests.errors import OutputError, SpecError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

_FOOTER_THREADS = 16
_IMAGE = "image"


@dataclass(frozen=True, repr=False)
class Picture:
    """One picture: `record` holds its columns of the images table but `image`; the bytes are read when asked for."""

    record: dict[str, Any]
    part: Part
    row: int

    @property
    def id(self) -> str:
        """Of the manifest row."""
        return str(self.record["id"])

    @property
    def image_index(self) -> int:
        """Which of the row's pictures."""
        return int(self.record["image_index"])

    @property
    def data(self) -> bytes:
        """The encoded file, as it is in the table."""
        found: bytes = self.part.images[self.row].as_py()
        return found

    @property
    def image(self) -> Image:
        """The picture, decoded."""
        from PIL import Image

        return Image.open(io.BytesIO(self.data))

    def __repr__(self) -> str:
        size, prompt = f"{self.record['width']}x{self.record['height']}", shorten(self.record["prompt"] or "", 60)
        return f"<Picture {self.id!r} {self.image_index}, {size} {self.record['format']}: {prompt!r}>"


class Pictures:
    """The pictures of an images table, all or those of which the SQL condition `where` is true, `limit` at most.

    Iterating, as often as wanted, gives them by ordinal and image index. `tables` are what the condition may ask by
    name. SpecError where it is wrong or DuckDB is missing for it, OutputError where a file cannot be read.
    """

    def __init__(
        self, uri: str, tables: dict[str, ds.Dataset], where: str | None = None, limit: int | None = None
    ) -> None:
        self._uri = uri
        self._dataset = tables["images"]
        self._limit = limit
        self.columns = [name for name in self._dataset.schema.names if name != _IMAGE]
        self.schema = pa.schema([self._dataset.schema.field(name) for name in self.columns])
        self._filter = _Filter(tables, where, self.schema) if where else None

    def __iter__(self) -> Iterator[Picture]:
        return islice(self._in_order(self.columns), self._limit)

    def records(self, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Some columns of each picture, `id`, `ordinal` and `image_index` among them; a pass over all is quick."""
        wanted = list({"id", "ordinal", "image_index", *columns})
        return (picture.record for picture in islice(self._in_order(wanted), self._limit))

    def _in_order(self, columns: list[str]) -> Iterator[Picture]:
        heap: list[tuple[int, int, str, int, Picture]] = []
        for first, path in self._parts:
            while heap and heap[0][0] < first:
                yield heappop(heap)[-1]
            part = Part(self._uri, self._dataset.filesystem, path)
            for row, record in self._records(part, columns):
                heappush(heap, (record["ordinal"], record["image_index"], path, row, Picture(record, part, row)))
        while heap:
            yield heappop(heap)[-1]

    def _records(self, part: Part, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        if self._filter is None:
            return enumerate(part.read(columns).to_pylist())
        table = part.read(self.columns)
        rows = self._filter.rows(table)
        return zip(rows, table.select(columns).take(pa.array(rows, pa.int64())).to_pylist(), strict=True)

    @cached_property
    def _parts(self) -> list[tuple[int, str]]:
        """The files that hold pictures, with their lowest ordinal, lowest first; from their footers alone."""

        def lowest(path: str) -> tuple[int, str] | None:
            footer = pq.read_metadata(path, filesystem=self._dataset.filesystem)
            column = footer.schema.names.index("ordinal")
            groups = (footer.row_group(n) for n in range(footer.num_row_groups))
            found = [group.column(column).statistics.min for group in groups if group.num_rows]
            return (min(found), path) if found else None

        with ThreadPoolExecutor(_FOOTER_THREADS) as threads:
            try:
                found = list(threads.map(lowest, self._dataset.files))
            except (OSError, pa.ArrowException) as error:
                raise _unreadable(self._uri, error) from error
        return sorted(part for part in found if part)


class Part:
    """One file of the images table."""

    def __init__(self, uri: str, fs: pafs.FileSystem, path: str) -> None:
        self._uri = uri
        self._fs = fs
        self._path = path

    def read(self, columns: list[str]) -> pa.Table:
        """Some columns of its rows. OutputError where it cannot be read."""
        try:
            return pq.read_table(self._path, columns=columns, filesystem=self._fs)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self._uri, error) from error

    @cached_property
    def images(self) -> pa.ChunkedArray:
        """The encoded pictures."""
        return self.read([f"{_IMAGE}.bytes"]).flatten().column(0)


class _Filter:
    """An SQL condition over the columns of the images table; it may ask the views `images`, `steps` and `errors`."""

    def __init__(self, tables: dict[str, ds.Dataset], where: str, schema: pa.Schema) -> None:
        self._duckdb = need("duckdb", f"the condition {where}")
        self._connection = self._duckdb.connect()
        self._where = where
        add_views(self._connection, tables)
        self.rows(schema.empty_table())  # a wrong condition is found before anything is done

    def rows(self, table: pa.Table) -> list[int]:
        """The positions of the rows that the condition keeps."""
        numbered = table.append_column("__row", pa.array(range(len(table)), pa.int64()))
        self._connection.register("part", numbered)
        try:
            kept = self._connection.execute(f"select __row from part where ({self._where}\n) order by __row").fetchall()
        except self._duckdb.Error as error:
            reason = " ".join(str(error).partition("LINE ")[0].split())[:300]
            raise SpecError(f"where {self._where}: {reason}") from error
        return [row for (row,) in kept]


def _unreadable(uri: str, error: Exception) -> OutputError:
    return OutputError(f"{uri}/images: cannot be read: {one_line(error, 300)}")
