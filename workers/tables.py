"""Write one Parquet file of a table, whole, below `_staging/`.

Picture bytes are compressed already and unique: no dictionary, no compression, no statistics, and small write batches,
so that writing is a copy and every other column is read without touching them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.schemas import table_schema
from manifests.storage import Location
from workers.settings import TableFile

ROW_GROUP_BYTES = 128 << 20
_PICTURE_BYTES = "image.bytes"
_HIGH_CARDINALITY = frozenset({"id", "sha256", "started_at", "seed", "image.path", _PICTURE_BYTES})


class TableWriter:
    """One file of one table: `append` rows, then `close` for the finished file, or `discard` it.

    `stem` must be unique over all attempts and runs; the staged file is `_staging/TABLE-STEM.parquet`.
    """

    def __init__(self, out: Location, table: str, stem: str, extra: Mapping[str, str]) -> None:
        self.table = table
        self.name = f"{table}-{stem}.parquet"
        self.rows = 0
        self._location = out / "_staging" / self.name
        self._schema = table_schema(table, extra)
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[dict[str, Any]] = []
        self._pending_bytes = 0

    def append(self, row: dict[str, Any]) -> None:
        """Add one row; a row group is written out when its pictures reach ROW_GROUP_BYTES."""
        self._pending.append(row)
        if self.table == "images":
            self._pending_bytes += len(row["image"]["bytes"])
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self, keep_empty: bool = False) -> TableFile | None:
        """Finish the file and make it durable; None where no row was appended, unless an empty one is wanted."""
        if self._pending:
            self._flush()
        if self._writer is None and keep_empty:
            self._writer = self._open()  # without a row group: datasets stumbles over one of no rows
        if self._writer is None:
            return None
        self._writer.close()
        if self._location.is_local:
            _sync(self._location.path)
        return TableFile(self.table, self.name, self.rows, int(self._location.info().size))

    def discard(self) -> None:
        """Give the file up."""
        if self._writer is not None:
            with contextlib.suppress(OSError):  # the disk may be full; what matters is to free what was taken
                self._writer.close()
            self._location.delete()

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = self._open()
        self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
        self.rows += len(self._pending)
        self._pending, self._pending_bytes = [], 0

    def _open(self) -> pq.ParquetWriter:
        self._location.parent.make_folder()
        columns = _leaf_paths(self._schema)
        described = [path for path in columns if path not in _HIGH_CARDINALITY]
        return pq.ParquetWriter(
            self._location.path,
            self._schema,
            filesystem=self._location.fs,
            use_dictionary=described,
            compression={path: "none" if path == _PICTURE_BYTES else "zstd" for path in columns},
            write_statistics=[path for path in columns if path != _PICTURE_BYTES],
            write_page_index=True,
            write_batch_size=64,
        )


@lru_cache
def _leaf_paths(schema: pa.Schema) -> tuple[str, ...]:
    # the Parquet schema spells nested columns (image.bytes, reference_images.list.element.uri)
    empty = pa.BufferOutputStream()
    with pq.ParquetWriter(empty, schema) as writer:
        writer.write_table(schema.empty_table())
    parquet = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    return tuple(parquet.column(k).path for k in range(len(parquet)))


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
