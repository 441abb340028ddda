"""An output folder opened for reading: `Results`, and its three tables.

Everything reads the same files in the same way: published Parquet through pyarrow datasets, on any filesystem that
`locate` knows, columns and row groups that are not asked for left where they are.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.jobfile import JobFile, read_job_file
from manifests.errors import OutputError, SpecError
from manifests.schemas import TABLES, table_schema
from manifests.storage import Location, locate

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars


@dataclass(frozen=True)
class ResultTable:
    """One of a job's tables: `images`, `steps` or `errors`, one row as `docs/tables.md` has it.

    `columns` everywhere are the names to read, all by default; leaving `image` out leaves the pictures unread.
    """

    name: str
    dataset: ds.Dataset

    def __len__(self) -> int:
        return self.dataset.count_rows()

    def arrow(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None) -> pa.Table:
        """The rows as an Arrow table."""
        return self.dataset.to_table(columns=None if columns is None else list(columns), filter=filter)

    def pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """The rows as a pandas data frame. Needs pandas."""
        return self.arrow(columns).to_pandas()

    def polars(self, columns: Sequence[str] | None = None) -> polars.LazyFrame:
        """The rows as a lazy Polars frame. Needs Polars."""
        import polars

        frame = polars.scan_pyarrow_dataset(self.dataset)
        return frame if columns is None else frame.select(columns)

    def duckdb(self) -> duckdb.DuckDBPyRelation:
        """The rows as a DuckDB relation. Needs DuckDB."""
        import duckdb

        return duckdb.from_arrow(self.dataset)


@dataclass(frozen=True)
class Results:
    """A job's output folder, opened by `open_results`: finished, running or stopped."""

    location: Location
    job: JobFile

    @property
    def uri(self) -> str:
        """The folder, as the user wrote it, made absolute."""
        return self.location.uri

    @cached_property
    def images(self) -> ResultTable:
        """One row per picture."""
        return self._table("images")

    @cached_property
    def steps(self) -> ResultTable:
        """One row per picture and denoising step."""
        return self._table("steps")

    @cached_property
    def errors(self) -> ResultTable:
        """One row per manifest row that failed."""
        return self._table("errors")

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A DuckDB query over the views `images`, `steps` and `errors`. Needs DuckDB.

        The relation keeps its connection open for as long as it lives.
        """
        import duckdb

        connection = duckdb.connect()
        for name in TABLES:
            connection.register(name, getattr(self, name).dataset)
        return connection.sql(query)

    def _table(self, name: str) -> ResultTable:
        schema = table_schema(name, self.job.extra)
        # the driver's published files lie flat in the table's folder
        files = [info.path for info in (self.location / name).list() if info.path.endswith(".parquet")]
        return ResultTable(name, ds.dataset(files, schema=schema, format="parquet", filesystem=self.location.fs))


def need(package: str, wanted_by: str) -> Any:
    """An optional package; SpecError that names the extra where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        if error.name != package:
            raise
        raise SpecError(
            f"{wanted_by} needs {package}, which is not installed: pip install 'renderay[analysis]'"
        ) from None


def open_results(out: str | os.PathLike[str]) -> Results:
    """Open the output folder of a job. OutputError where no job is in it."""
    location = locate(out)
    job: Any = read_job_file(location)
    if job is None:
        raise OutputError(f"{location.uri}: no job in it; give the --out of a render that has begun")
    return Results(location, job)
