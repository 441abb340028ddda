"""The Parquet files as their readers find them."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import workers.tables
from manifests.schemas import images_schema, table_schema
from manifests.storage import locate
from workers.pictures import encode_picture
from workers.tables import TableWriter

EXTRA = {"tag": "string", "model": "json"}


def image_row(k: int, side: int = 16) -> dict[str, Any]:
    pixels = np.random.default_rng(k).integers(0, 256, (side, side, 3), np.uint8)
    return {
        "id": f"r{k}", "ordinal": k, "image_index": 0, "width": 16, "height": 16, "prompt": f"picture {k}",
        "image": {"bytes": encode_picture(pixels, "png"), "path": f"r{k}-0.png"},
        "started_at": datetime(2026, 1, 1, tzinfo=UTC), "tag": "x", "reference_images": [],
    }  # fmt: skip


def written(out: Path, rows: int, table: str = "images", side: int = 16) -> Path:
    writer = TableWriter(locate(out), table, "lease-1", EXTRA)
    for k in range(rows):
        writer.append(image_row(k, side))
    file = writer.close()
    assert file is not None
    path = out / "_staging" / file.name
    assert (file.table, file.name, file.rows) == (table, f"{table}-lease-1.parquet", rows)
    assert file.bytes == path.stat().st_size
    return path


def test_rows_come_back_under_the_tables_own_schema(tmp_path: Path) -> None:
    found = pq.read_table(written(tmp_path, 5))
    assert found.schema.equals(images_schema(EXTRA))
    assert found.schema.metadata == images_schema(EXTRA).metadata
    for k, row in enumerate(found.to_pylist()):
        expected = image_row(k)
        assert {name: row[name] for name in expected} == expected
        assert row["negative_prompt"] is None and row["manifest_model"] is None


def test_a_table_of_nothing_but_nulls_keeps_its_types(tmp_path: Path) -> None:
    writer = TableWriter(locate(tmp_path), "errors", "l", {})
    writer.append({"id": "a"})
    writer.close()
    assert pq.read_schema(tmp_path / "_staging" / "errors-l.parquet").equals(table_schema("errors", {}))


def test_picture_bytes_are_stored_plain_and_everything_else_packed(tmp_path: Path) -> None:
    with pq.ParquetFile(written(tmp_path, 200)) as file:
        group = file.metadata.row_group(0)
        chunks = {group.column(k).path_in_schema: group.column(k) for k in range(group.num_columns)}
    picture = chunks.pop("image.bytes")
    assert picture.compression == "UNCOMPRESSED" and not picture.has_dictionary_page
    assert picture.statistics is None and picture.has_offset_index
    assert picture.total_compressed_size == pytest.approx(
        sum(len(image_row(k)["image"]["bytes"]) for k in range(200)), rel=0.05
    )
    assert {chunk.compression for chunk in chunks.values()} == {"ZSTD"}
    assert chunks["prompt"].has_dictionary_page and not chunks["id"].has_dictionary_page
    assert chunks["ordinal"].statistics.max == 199 and chunks["ordinal"].has_column_index


def test_other_columns_are_read_without_the_pictures(tmp_path: Path) -> None:
    path = written(tmp_path, 40, side=128)
    read = 0

    class Counting(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:  # type: ignore[override]
            nonlocal read
            data = super().read(size) or b""
            read += len(data)
            return data

    with Counting(path) as source:
        table = pq.read_table(source, columns=["id", "width"], pre_buffer=False)
    assert table.num_rows == 40
    assert path.stat().st_size > 1 << 20 and read < path.stat().st_size // 10


def test_row_groups_are_cut_by_their_pictures_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.tables, "ROW_GROUP_BYTES", 3 * len(image_row(0)["image"]["bytes"]))
    with pq.ParquetFile(written(tmp_path, 10)) as file:
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    assert sum(sizes) == 10 and max(sizes) <= 4 and len(sizes) >= 3


def test_rows_of_other_tables_do_not_count_the_pictures_they_came_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.tables, "ROW_GROUP_BYTES", 3 * len(image_row(0)["image"]["bytes"]))
    with pq.ParquetFile(written(tmp_path, 50, "steps")) as file:  # a steps row is made from its images row
        assert file.num_row_groups == 1


def test_a_file_without_rows_is_not_written(tmp_path: Path) -> None:
    writer = TableWriter(locate(tmp_path), "steps", "l", {})
    assert writer.close() is None
    writer.discard()
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_discarded_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.tables, "ROW_GROUP_BYTES", 1)
    writer = TableWriter(locate(tmp_path), "images", "l", EXTRA)
    writer.append(image_row(0))
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    writer.discard()
    assert list(tmp_path.rglob("*.parquet")) == []


def test_datasets_decodes_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    path = written(tmp_path, 3)
    datasets.disable_progress_bars()
    found = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    image = found[1]["image"]
    assert isinstance(image, Image.Image) and image.size == (16, 16)
    assert encode_picture(np.asarray(image), "png") == image_row(1)["image"]["bytes"]
    assert found["tag"][1] == "x"
