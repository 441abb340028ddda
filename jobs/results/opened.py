"""An output folder opened for reading: `Results`, its three tables, and its pictures.

Everything reads the same published Parquet, as pyarrow datasets or as DuckDB's views of them, on any filesystem that
`locate` knows, columns and row groups that are not asked for left where they are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.jobfile import JobFile, read_job_file
from jobs.results.installed import need
from jobs.results.pictures import Part, Picture, Pictures
from jobs.results.views import add_views, relation
from manifests.errors import OutputError
from manifests.schemas import TABLES, table_schema
from manifests.storage import Location, locate

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars


@dataclass(frozen=True, repr=False)
class ResultTable:
    """One of a job's tables: `images`, `steps` or `errors`, one row as `docs/tables.md` has it.

    `columns` everywhere are the names to read, all by default; leaving `image` out leaves the pictures unread.
    """

    name: str
    dataset: ds.Dataset

    def __len__(self) -> int:
        return self.dataset.count_rows()

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} rows, {len(self.columns)} columns>"

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.dataset.schema.names)

    def arrow(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None) -> pa.Table:
        """The rows as an Arrow table, those of which `filter` is true."""
        return self.dataset.to_table(columns=None if columns is None else list(columns), filter=filter)

    def pandas(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None) -> pandas.DataFrame:
        """The rows as a pandas data frame, those of which `filter` is true. Needs pandas."""
        need("pandas", f"{self.name}.pandas()")
        return self.arrow(columns, filter).to_pandas()

    def polars(self, columns: Sequence[str] | None = None) -> polars.LazyFrame:
        """The rows as a lazy Polars frame. Needs Polars."""
        frame = need("polars", f"{self.name}.polars()").scan_pyarrow_dataset(self.dataset)
        return frame if columns is None else frame.select(columns)

    def duckdb(self) -> duckdb.DuckDBPyRelation:
        """The rows as a DuckDB relation. Needs DuckDB."""
        return relation(need("duckdb", f"{self.name}.duckdb()"), self.dataset)


@dataclass(frozen=True, repr=False)
class Results:
    """A job's output folder, opened by `open_results`: finished, running or stopped.

    The tables hold what was published when they were first asked for; open the folder again to see more.
    """

    location: Location
    job: JobFile

    def __repr__(self) -> str:
        return f"<Results {self.uri}: {self.job.spec['model']}, {self.job.rows} manifest rows>"

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

    def pictures(self, where: str | None = None, limit: int | None = None) -> Pictures:
        """The pictures in the order of the manifest, one lease's in memory at a time.

        `where` is an SQL condition over the images table, which needs DuckDB. SpecError where it is wrong.
        """
        return Pictures(self.uri, self._datasets(), where, limit)

    def picture(self, id: str, image_index: int = 0) -> Picture:
        """One picture by the id of its manifest row. OutputError where there is none."""
        wanted = (pc.field("id") == id) & (pc.field("image_index") == image_index)
        found = self.images.dataset.to_table(columns=["__filename"], filter=wanted)
        if not len(found):
            raise OutputError(f"{self.uri}: no picture {image_index} of {id!r}{self._why_not(id)}")
        part = Part(self.uri, self.location.fs, found.column(0)[0].as_py())
        names = [name for name in self.images.columns if name != "image"]
        for row, record in enumerate(part.read(names).to_pylist()):
            if (record["id"], record["image_index"]) == (id, image_index):
                return Picture(record, part, row)
        raise AssertionError("the file that held the picture holds it no more")

    def sql(self, query: str, **others: Results) -> duckdb.DuckDBPyRelation:
        """A DuckDB query over the views `images`, `steps` and `errors`. Needs DuckDB.

        Tables of other jobs are views under the name given: with `b=renderay.open(...)`, `b_images` and so on.
        The relation keeps its connection open for as long as it lives.
        """
        connection = need("duckdb", "sql()").connect()
        for prefix, results in {"": self, **{f"{name}_": other for name, other in others.items()}}.items():
            add_views(connection, {f"{prefix}{name}": dataset for name, dataset in results._datasets().items()})
        return connection.sql(query)

    def _datasets(self) -> dict[str, ds.Dataset]:
        return {name: getattr(self, name).dataset for name in TABLES}

    def _why_not(self, id: str) -> str:
        messages = self.errors.arrow(["message"], pc.field("id") == id).column(0).to_pylist()
        return f", which failed: {messages[0]}" if messages else ""

    def _table(self, name: str) -> ResultTable:
        schema = table_schema(name, self.job.extra)
        # the driver's published files lie flat in the table's folder
        files = [info.path for info in (self.location / name).list() if info.path.endswith(".parquet")]
        return ResultTable(name, ds.dataset(files, schema=schema, format="parquet", filesystem=self.location.fs))


def open_results(out: str | os.PathLike[str]) -> Results:
    """Open the output folder of a job. OutputError where no job is in it."""
    location = locate(out)
    job: Any = read_job_file(location)
    if job is None:
        raise OutputError(f"{location.uri}: no job in it; give the --out of a render that has begun")
    return Results(location, job)
