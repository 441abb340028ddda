"""The Arrow schemas of the three tables: fixed in code, units in the names, times in UTC.

images   one row per picture                      `images_schema(extra)`
steps    one row per picture and denoising step   `STEPS`
errors   one row per manifest row that failed     `ERRORS`

The manifest's own columns follow the columns of `images`; their kinds come from `manifests.survey`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

from manifests.columns import output_name

SCHEMA_VERSION = 1
TABLES = ("images", "steps", "errors")

_INSTANT = pa.timestamp("us", tz="UTC")
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_REFERENCE = pa.list_(pa.struct([("uri", pa.string()), ("sha256", pa.string())]))

_IMAGES = pa.schema(
    [
        ("id", pa.string()),
        ("ordinal", pa.int64()),  # position in the manifest, from 0
        ("image_index", pa.int32()),  # 0 .. num_images - 1
        ("image", _PICTURE),
        ("format", pa.string()),
        ("width", pa.int32()),  # pixels, as produced
        ("height", pa.int32()),
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("seed", pa.int64()),
        ("steps", pa.int32()),
        ("guidance_scale", pa.float64()),
        ("true_cfg_scale", pa.float64()),
        ("params", pa.string()),  # JSON
        ("model", pa.string()),
        ("revision", pa.string()),
        ("fingerprint", pa.string()),
        ("dtype", pa.string()),
        ("attention_requested", pa.string()),
        ("attention_backend", pa.string()),  # what was counted at dispatch
        ("compiled", pa.bool_()),
        ("exact", pa.bool_()),
        ("batch_size", pa.int32()),
        ("batch_id", pa.string()),
        ("worker_batch", pa.int32()),  # batches this worker had done before
        ("warmup", pa.bool_()),  # first batch of a shape on this worker
        ("attempt", pa.int32()),
        ("lease_id", pa.string()),
        ("worker_id", pa.string()),
        ("node", pa.string()),
        ("gpu", pa.string()),
        ("gpu_uuid", pa.string()),
        ("peak_gib", pa.float64()),
        ("started_at", _INSTANT),
        ("queue_ms", pa.float64()),
        ("text_encode_ms", pa.float64()),
        ("prepare_ms", pa.float64()),
        ("denoise_ms", pa.float64()),
        ("decode_ms", pa.float64()),
        ("image_encode_ms", pa.float64()),
        ("sha256", pa.string()),  # of image.bytes
        ("reference_images", _REFERENCE),
    ]
)

STEPS = pa.schema(
    [
        ("id", pa.string()),
        ("image_index", pa.int32()),
        ("batch_id", pa.string()),
        ("batch_size", pa.int32()),
        ("step", pa.int32()),
        ("timestep", pa.float64()),
        ("sigma", pa.float64()),
        ("step_ms", pa.float64()),  # of the whole batch's step
        ("started_at", _INSTANT),
        ("warmup", pa.bool_()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("model", pa.string()),
        ("attention_backend", pa.string()),
        ("compiled", pa.bool_()),
        ("gpu", pa.string()),
        ("worker_id", pa.string()),
    ]
)

ERRORS = pa.schema(
    [
        ("id", pa.string()),
        ("ordinal", pa.int64()),
        ("source_file", pa.string()),
        ("source_line", pa.int64()),
        ("field", pa.string()),
        ("stage", pa.string()),  # manifest, reference, encode, denoise, decode, write, crash
        ("error_type", pa.string()),
        ("message", pa.string()),
        ("traceback", pa.string()),
        ("attempts", pa.int32()),
        ("worker_id", pa.string()),
        ("node", pa.string()),
    ]
)

_KINDS = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "json": pa.string(),
    "binary": pa.binary(),
}


def extra_names(extra: Mapping[str, str]) -> dict[str, str]:
    """The name in `images` of each unknown manifest column: its own, or `manifest_NAME` where that is taken."""
    taken = set(_IMAGES.names) | set(extra)
    names: dict[str, str] = {}
    for name in extra:
        names[name] = output_name(name, taken) if name in _IMAGES.names else name
        taken.add(names[name])
    return names


def images_schema(extra: Mapping[str, str]) -> pa.Schema:
    """The images table's schema, with the manifest's own columns (name -> kind, from `Survey.extra`) behind ours.

    The `huggingface` metadata makes `datasets` decode `image` into pictures.
    """
    names = extra_names(extra)
    fields = [*_IMAGES, *(pa.field(names[name], _KINDS[kind]) for name, kind in extra.items())]
    features = {"info": {"features": {"image": {"_type": "Image"}}}}
    return pa.schema(fields, metadata={"huggingface": json.dumps(features)})


def table_schema(table: str, extra: Mapping[str, str]) -> pa.Schema:
    """The schema of `table`, one of TABLES."""
    return {"images": images_schema(extra), "steps": STEPS, "errors": ERRORS}[table]
