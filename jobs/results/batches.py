"""A run's tables as one row per batch, which is what was timed: the pictures of a batch share its times.

Streamed through Arrow's own aggregation: 100 million step rows need memory for their batches only.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.acero as acero
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.results.opened import Results, ResultTable

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
    `picture_s` one picture's share of the seconds from encoding its prompt to having its pixels.
    """
    described = _one_per_batch(results.images, ROUND in results.images.dataset.schema.names)
    steps = _aggregate(results.steps.dataset, {"step_ms": ds.field("step_ms")}, [("step_ms", "hash_mean")])
    where = pc.index_in(described["batch_id"], value_set=steps["batch_id"].combine_chunks())
    joined = described.append_column("step_ms", steps["step_ms"].combine_chunks().take(where.combine_chunks()))
    return joined.filter(pc.is_valid(where)).sort_by("batch_id")


def _one_per_batch(images: ResultTable, has_rounds: bool) -> pa.Table:
    share = ds.field("batch_size").cast(pa.float64()) * 1e3
    total = sum((ds.field(name) for name in _TIMES[1:]), start=ds.field(_TIMES[0]))
    columns = {name: ds.field(name) for name in DESCRIPTION}
    columns["guided"] = ds.field("negative_prompt").is_valid()
    columns["picture_s"] = total / share
    columns[ROUND] = ds.field(ROUND) if has_rounds else ds.scalar(None).cast(pa.int64())
    return _aggregate(images.dataset, columns, [(name, "hash_one") for name in columns])


def _aggregate(dataset: ds.Dataset, columns: dict[str, ds.Expression], kinds: list[tuple[str, str]]) -> pa.Table:
    """Group a table by `batch_id`, streaming; every aggregate keeps its column's name."""
    read = {"batch_id": ds.field("batch_id")} | columns
    # a job leaves a file a lease: the footers of thirty thousand would fill gigabytes
    scan = acero.ScanNodeOptions(dataset, columns=read, cache_metadata=False)
    found = acero.Declaration.from_sequence(
        [
            acero.Declaration("scan", scan),
            acero.Declaration(
                "project", acero.ProjectNodeOptions([ds.field("batch_id"), *columns.values()], ["batch_id", *columns])
            ),
            acero.Declaration(
                "aggregate",
                acero.AggregateNodeOptions([(name, kind, None, name) for name, kind in kinds], keys=["batch_id"]),
            ),
        ]
    )
    return found.to_table(use_threads=True)
