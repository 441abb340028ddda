"""The tables as every part of the report reads them: a DuckDB connection, the picture bytes left where they are.

    images, steps, errors   the job's tables
    pictures                one row a picture: its share of its batch in ms, its shape, when its batch ran
    batches                 one row a pipeline call, in seconds since the epoch
    shapes                  what fixes a picture's cost, the most frequent first
    measured                the pictures that times are told of: without warm-up, unless there is nothing else

A picture's share is the batch's time divided by `batch_size`.
"""

from __future__ import annotations

import tempfile
from typing import Any, TypeAlias

import duckdb

from jobs.results.opened import Results
from jobs.results.views import add_views
from manifests.schemas import TABLES

Connection: TypeAlias = duckdb.DuckDBPyConnection
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_SHAPE = "width, height, steps, n_references, batch_size, attention_backend, compiled, gpu"

# a time that is missing or not a number counts as none
_FINITE = "create temp macro finite(x) as if(isfinite(x), x, 0)"

_PICTURES = """
create temp table pictures as
select
    id, ordinal, image_index, batch_id, lease_id, coalesce(worker_id, 'unknown') as worker_id, node, gpu, gpu_uuid,
    nullif(finite(peak_gib), 0) as peak_gib, warmup, attempt, seed,
    width, height, steps, coalesce(len(reference_images), 0) as n_references,
    batch_size, attention_backend, compiled,
    epoch_us(started_at) / 1e6 as began,
    finite(text_encode_ms) as batch_text_ms,
    finite(prepare_ms) + finite(denoise_ms) + finite(decode_ms) as batch_call_ms,
    finite(text_encode_ms) / batch_size as text_ms,
    finite(prepare_ms) / batch_size as prepare_ms,
    finite(denoise_ms) / batch_size as denoise_ms,
    finite(decode_ms) / batch_size as decode_ms,
    (batch_text_ms + batch_call_ms) / batch_size as picture_ms,
    finite(image_encode_ms) as image_encode_ms,
    finite(queue_ms) as queue_ms
from images
"""

_BATCHES = """
create temp table batches as
select
    batch_id, any_value(lease_id) as lease_id, any_value(worker_id) as worker_id, bool_or(warmup) as warmup,
    min(began) as began, min(began) + max(batch_call_ms) / 1e3 as ended, max(batch_text_ms) / 1e3 as text_s,
    max(n_references) > 0 as has_references, count(*) as pictures
from pictures group by batch_id
"""

_SHAPES = f"""
create temp table shapes as
select row_number() over (order by count(*) desc, {_SHAPE}) as shape, {_SHAPE},
    count(*) as pictures
from pictures group by {_SHAPE}
"""

_MEASURED = """
create temp table measured as
select * from pictures where not warmup or (select bool_and(warmup) from pictures)
"""


def open_database(results: Results) -> Connection:
    """Read the light columns of a job's tables once."""
    connection = duckdb.connect(
        config={"temp_directory": tempfile.gettempdir()}
    )  # else it spills into the user's folder
    add_views(connection, {table: getattr(results, table).dataset for table in TABLES})
    same = " and ".join(f"p.{name} is not distinct from s.{name}" for name in _SHAPE.split(", "))
    connection.execute(_FINITE)
    connection.execute(_PICTURES)
    connection.execute(_BATCHES)
    connection.execute(_SHAPES)
    connection.execute("alter table pictures add column shape bigint")
    connection.execute(f"update pictures p set shape = s.shape from shapes s where {same}")
    connection.execute(_MEASURED)
    return connection


def rows(connection: Connection, query: str, *parameters: Any) -> list[dict[str, Any]]:
    """The rows of a query by column name; lists come as tuples."""
    found = connection.execute(query, parameters)
    names = [column[0] for column in found.description]
    return [dict(zip(names, map(_frozen, values), strict=True)) for values in found.fetchall()]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
