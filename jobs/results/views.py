"""The tables in DuckDB: its own Parquet reader for files on this machine, Arrow's for all others.

A job leaves a file a lease. Over thousands of them DuckDB's reader takes a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow.dataset as ds
import pyarrow.fs as pafs

from manifests.errors import OutputError, one_line

if TYPE_CHECKING:
    import duckdb

_GLOB = frozenset("*?[")  # read_parquet takes these for patterns


def relation(connection: Any, dataset: ds.Dataset) -> duckdb.DuckDBPyRelation:
    """A table's rows on a connection; given the module `duckdb`, on its own."""
    return _read_here(connection, dataset) if _is_here(dataset) else connection.from_arrow(dataset)


def add_views(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, ds.Dataset]) -> None:
    """Make each table a view under its name."""
    for name, dataset in tables.items():
        if _is_here(dataset):
            _read_here(connection, dataset).create_view(name)
        else:
            connection.register(name, dataset)


def add_pass(connection: duckdb.DuckDBPyConnection, name: str, dataset: ds.Dataset, columns: list[str]) -> None:
    """Make some columns of a table a view that can be read once; the footers that were read are not kept, which for
    thirty thousand files would fill gigabytes."""
    if _is_here(dataset):
        _read_here(connection, dataset).create_view(name)
    else:
        connection.register(name, dataset.scanner(columns=columns, cache_metadata=False).to_reader())


def unreadable(uri: str, error: Exception) -> OutputError:
    """What to tell where a table of the job at `uri` is damaged or cannot be reached."""
    reason = one_line(error, 300)
    return OutputError(f"{uri}: a table cannot be read: {reason}; the same render command mends it")


def _read_here(connection: Any, dataset: ds.Dataset) -> duckdb.DuckDBPyRelation:
    # a folder of OUT that is called name=value is no column
    found: duckdb.DuckDBPyRelation = connection.read_parquet(dataset.files, hive_partitioning=False)
    return found


def _is_here(dataset: ds.Dataset) -> bool:
    """Whether DuckDB's reader gives the same rows: local files that hold all columns (an older renderay's may not)."""
    files = dataset.files
    if not files or not isinstance(dataset.filesystem, pafs.LocalFileSystem) or any(_GLOB & set(p) for p in files):
        return False
    return set(dataset.schema.names) <= set(next(dataset.get_fragments()).physical_schema.names)
