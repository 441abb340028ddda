"""A run's tables as one row per batch, which is what was timed: the pictures of a batch share its times.

Streamed through DuckDB: 100 million step rows need memory for their batches only.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from jobs.results.opened import Results
from jobs.results.views import add_pass, unreadable

# what a batch is described by, the same in every one of its images rows
DESCRIPTION = (
    "worker_id",
    "warmup",
    "model",
    "width",
    "height",
    "steps",
    "batch_size",
    "guidance_scale",
    "true_cfg_scale",
    "dtype",
    "fingerprint",
    "attention_backend",
    "compiled",
    "exact",
    "gpu",
    "peak_gib",
)
_TIMES = ("text_encode_ms", "prepare_ms", "denoise_ms", "decode_ms")
ROUND = "round"  # the images column in which `renderay bench` counts its rounds


def read_batches(results: Results) -> pa.Table:
    """One row per batch of a run: `batch_id`, DESCRIPTION, `guided`, `round`, `step_ms` and `picture_s`.

    `guided`: it had a negative prompt. `round` is null but in bench output. `step_ms` is the batch's mean step,
    `picture_s` one picture's share of the seconds from encoding its prompt to having its pixels; both are null where a
    time of the batch is missing, not finite or not above zero. OutputError where a table cannot be read.
    """
    images, steps = results.images.dataset, results.steps.dataset
    has_rounds = ROUND in images.schema.names
    read = ["batch_id", "negative_prompt", *DESCRIPTION, *_TIMES, *([ROUND] if has_rounds else [])]
    connection = duckdb.connect()
    try:
        add_pass(connection, "images", images, read)
        add_pass(connection, "steps", steps, ["batch_id", "step_ms"])
        found: pa.Table = connection.sql(_query(has_rounds)).to_arrow_table()
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise unreadable(results.uri, error) from error
    finally:
        connection.close()
    return found


def _query(has_rounds: bool) -> str:
    described = ", ".join(f"any_value({name}) as {name}" for name in DESCRIPTION)
    return f"""
    with described as (
        select batch_id, {described}, bool_or(negative_prompt is not null) as guided,
            any_value({" + ".join(_TIMES)}) / any_value(batch_size) / 1e3 as picture_s,
            {f"any_value({ROUND})" if has_rounds else "null"}::bigint as {ROUND}
        from images group by batch_id
    ), timed as (select batch_id, avg(step_ms) as step_ms from steps group by batch_id)
    select * exclude (usable) replace (if(usable, step_ms, null) as step_ms, if(usable, picture_s, null) as picture_s)
    from (
        select *, coalesce(isfinite(step_ms) and isfinite(picture_s) and least(step_ms, picture_s) > 0, false) as usable
        from described join timed using (batch_id)
    )
    order by batch_id
    """
