"""Pictures as files and `metadata` beside them, for `datasets.load_dataset("imagefolder", data_dir=FOLDER)`."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.export.target import Target
from jobs.results.pictures import Picture
from manifests.columns import output_name

_THREADS = 16  # an object store answers a write in tens of milliseconds
_ROWS = 1000  # of metadata in memory


class ImageFolder:
    """Writes pictures under their names and, at the end, one row each in `metadata.jsonl`, `.csv` or `.parquet`."""

    def __init__(self, target: Target, schema: pa.Schema, metadata: str) -> None:
        self.new = 0  # files that were not there already
        self._target = target
        self._schema = metadata_schema(schema)
        self._stack = ExitStack()
        stream = self._stack.enter_context(target.stream(f"metadata.{metadata}"))
        self._metadata = _WRITERS[metadata](stream, self._schema)
        self._threads = self._stack.enter_context(ThreadPoolExecutor(_THREADS, "write"))
        self._writing: deque[Future[bool]] = deque()

    def add(self, picture: Picture, name: str) -> None:
        """Write a picture and its metadata."""
        if len(self._writing) >= 2 * _THREADS:
            self.new += self._writing.popleft().result()
        self._writing.append(self._threads.submit(self._target.write, name, picture.data))
        values = [name, *picture.record.values()]
        self._metadata.add(dict(zip(self._schema.names, values, strict=True)))

    def __enter__(self) -> ImageFolder:
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                while self._writing:
                    self.new += self._writing.popleft().result()
                self._metadata.close()
        except BaseException as failed:
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._stack.__exit__(*error)


def metadata_schema(images: pa.Schema) -> pa.Schema:
    """`file_name`, then the columns of the images table but `image`.

    `datasets` takes every column that ends in file_name for a path: those of the manifest end in filename instead.
    """
    taken = {"file_name", *images.names}
    fields = [pa.field("file_name", pa.string())]
    for column in images:
        name = column.name
        for ending in ("file_name", "file_names"):
            if name.endswith(ending):
                name = output_name(name.removesuffix(ending) + ending.replace("_", ""), taken)
        fields.append(column.with_name(name))
    return pa.schema(fields)


class _MetadataWriter(Protocol):
    def add(self, record: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class _JsonLines:
    def __init__(self, stream: Any, schema: pa.Schema) -> None:
        self._stream = stream

    def add(self, record: dict[str, Any]) -> None:
        self._stream.write(to_json(record) + b"\n")

    def close(self) -> None:
        pass


class _Csv:
    def __init__(self, stream: Any, schema: pa.Schema) -> None:
        self._stream = stream
        self._write(schema.names)

    def _write(self, cells: list[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self._stream.write(text.getvalue().encode())

    def add(self, record: dict[str, Any]) -> None:
        self._write([to_json(cell).decode() if isinstance(cell, list) else plain(cell) for cell in record.values()])

    def close(self) -> None:
        pass


class _Parquet:
    def __init__(self, stream: Any, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(stream, schema)
        self._schema = schema
        self._rows: list[dict[str, Any]] = []

    def add(self, record: dict[str, Any]) -> None:
        self._rows.append(record)
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


_WRITERS: dict[str, Callable[[Any, pa.Schema], _MetadataWriter]] = {
    "jsonl": _JsonLines,
    "csv": _Csv,
    "parquet": _Parquet,
}


def to_json(value: Any) -> bytes:
    """One line of JSON."""
    return json.dumps(value, default=plain, ensure_ascii=False).encode()


def plain(value: Any) -> Any:
    """A cell of the images table as JSON or CSV can say it: instants in ISO 8601, bytes in base64."""
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
