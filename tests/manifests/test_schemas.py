"""The tables' columns, frozen: a column that goes or changes its type breaks other people's queries."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from manifests.schemas import ERRORS, SCHEMA_VERSION, STEPS, TABLES, extra_names, images_schema, table_schema

TEXT, INT, LONG, REAL, FLAG = "string", "int32", "int64", "double", "bool"
INSTANT = "timestamp[us, tz=UTC]"
IMAGES = {
    "id": TEXT, "ordinal": LONG, "image_index": INT, "image": "struct<bytes: binary, path: string>", "format": TEXT,
    "width": INT, "height": INT, "prompt": TEXT, "negative_prompt": TEXT, "seed": LONG, "steps": INT,
    "guidance_scale": REAL, "true_cfg_scale": REAL, "params": TEXT, "model": TEXT, "revision": TEXT,
    "fingerprint": TEXT, "dtype": TEXT, "attention_requested": TEXT, "attention_backend": TEXT, "compiled": FLAG,
    "exact": FLAG, "batch_size": INT, "batch_id": TEXT, "worker_batch": INT, "warmup": FLAG, "attempt": INT,
    "lease_id": TEXT, "worker_id": TEXT, "node": TEXT, "gpu": TEXT, "gpu_uuid": TEXT, "peak_gib": REAL,
    "started_at": INSTANT, "queue_ms": REAL, "text_encode_ms": REAL, "prepare_ms": REAL, "denoise_ms": REAL,
    "decode_ms": REAL, "image_encode_ms": REAL, "sha256": TEXT,
    "reference_images": "list<item: struct<uri: string, sha256: string>>",
}  # fmt: skip
STEPS_COLUMNS = {
    "id": TEXT, "image_index": INT, "batch_id": TEXT, "batch_size": INT, "step": INT, "timestep": REAL, "sigma": REAL,
    "step_ms": REAL, "started_at": INSTANT, "warmup": FLAG, "width": INT, "height": INT, "model": TEXT,
    "attention_backend": TEXT, "compiled": FLAG, "gpu": TEXT, "worker_id": TEXT,
}  # fmt: skip
ERRORS_COLUMNS = {
    "id": TEXT, "ordinal": LONG, "source_file": TEXT, "source_line": LONG, "field": TEXT, "stage": TEXT,
    "error_type": TEXT, "message": TEXT, "traceback": TEXT, "attempts": INT, "worker_id": TEXT, "node": TEXT,
}  # fmt: skip


def columns(schema: pa.Schema) -> dict[str, str]:
    return {field.name: str(field.type) for field in schema}


def test_the_tables_are_frozen() -> None:
    assert (SCHEMA_VERSION, TABLES) == (1, ("images", "steps", "errors"))
    assert list(columns(images_schema({})).items()) == list(IMAGES.items())
    assert list(columns(STEPS).items()) == list(STEPS_COLUMNS.items())
    assert list(columns(ERRORS).items()) == list(ERRORS_COLUMNS.items())
    assert [table_schema(table, {}) for table in TABLES] == [images_schema({}), STEPS, ERRORS]


def test_the_manifests_own_columns_follow_ours_in_their_order_and_kind() -> None:
    kinds = {"z": "int64", "a": "json", "b": "bool", "c": "float64", "d": "string", "e": "binary"}
    added = list(columns(images_schema(kinds)).items())[len(IMAGES) :]
    assert added == [("z", LONG), ("a", TEXT), ("b", FLAG), ("c", REAL), ("d", TEXT), ("e", "binary")]


@pytest.mark.parametrize(
    ("extra", "names"),
    [
        (["tag"], ["tag"]),
        (["model", "tag"], ["manifest_model", "tag"]),
        (["model", "manifest_model"], ["manifest_manifest_model", "manifest_model"]),
        (["manifest_model", "model"], ["manifest_model", "manifest_manifest_model"]),
        (["manifest_model", "model", "manifest_manifest_model"], None),
        (["Model", "manifest_tag"], ["Model", "manifest_tag"]),
    ],
)
def test_a_name_that_is_taken_gives_way_and_none_comes_twice(extra: list[str], names: list[str] | None) -> None:
    found = extra_names(dict.fromkeys(extra, "string"))
    assert list(found) == extra
    if names is not None:
        assert list(found.values()) == names
    every = [*IMAGES, *found.values()]
    assert len(set(every)) == len(every)


def test_the_picture_column_says_what_it_is() -> None:
    metadata = images_schema({"tag": "string"}).metadata
    assert json.loads(metadata[b"huggingface"]) == {"info": {"features": {"image": {"_type": "Image"}}}}
