"""From real files to rows, all parts together."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.columns import ColumnMap
from manifests.errors import ManifestError
from manifests.files import find_files
from manifests.row import BadRow, ImageRef, Row, positional_id
from manifests.rows import parse_rows
from manifests.survey import survey
from manifests.validate import RowRules


def _rows(*paths: Path, limit: int | None = None, rules: RowRules | None = None) -> list[Row | BadRow]:
    files = find_files([str(path) for path in paths])
    return list(parse_rows(files, ColumnMap(), rules or RowRules(), limit))


def test_every_record_becomes_a_row_or_a_bad_row_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "id": "x"}\n\n{broken\n{"prompt": "b", "steps": 0}\n')
    (tmp_path / "b.csv").write_text("id,prompt,tag\nx,c,1\ny,d,2\n")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"e\n"))
    rows = _rows(tmp_path)
    assert [row.ordinal for row in rows] == list(range(6))
    assert [type(row) for row in rows] == [Row, BadRow, BadRow, BadRow, Row, Row]
    assert [row.line() for row in rows if isinstance(row, BadRow)] == [
        f"{tmp_path}/a.jsonl:3: row: not JSON: key must be a string at column 2",
        f"{tmp_path}/a.jsonl:4: steps: 0: must be at least 1",
        f"{tmp_path}/b.csv:2: id: 'x': already the id of {tmp_path}/a.jsonl:1",
    ]
    assert [row.id for row in rows] == ["x", None, positional_id(2), "x", "y", positional_id(5)]
    assert survey(find_files([str(tmp_path)]), ColumnMap()).rows == len(rows)


def test_the_limit_counts_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a"}\n{}\n{"prompt": "c"}\n')
    assert [type(row) for row in _rows(tmp_path, limit=2)] == [Row, BadRow]
    assert len(_rows(tmp_path, limit=9)) == 3


def test_an_id_belongs_to_the_first_row_that_carries_it(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"id": "a", "steps": 0},
        {"id": "a"},
        {"id": "a", "steps": 0},
        {"id": 5},
        {"id": "5"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"prompt": "p", **line}) + "\n" for line in lines))
    found = [row.message if isinstance(row, BadRow) else "" for row in _rows(tmp_path)]
    assert found == [
        "0: must be at least 1",
        f"'a': already the id of {tmp_path}/a.jsonl:1",
        "0: must be at least 1",
        "",
        f"'5': already the id of {tmp_path}/a.jsonl:4",
    ]


def test_a_positional_id_cannot_be_taken_from_its_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "id": "row-000000001"}\n{"prompt": "b"}\n')
    first, second = _rows(tmp_path)
    assert isinstance(first, BadRow) and first.field == "id"
    assert isinstance(second, Row) and second.id == "row-000000001"


def test_hugging_face_shards_with_pictures(tmp_path: Path) -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for shard in range(2):
        pictures = pa.array([{"bytes": b"png", "path": "0.png"}, {"bytes": None, "path": "1.png"}], image)
        table = pa.table({"prompt": ["a", "b"], "image": pictures, "label": pa.array([1, None])})
        pq.write_table(table, tmp_path / f"train-{shard:05d}-of-00002.parquet")
    rows = _rows(tmp_path, rules=RowRules(min_images=1, max_images=1))
    assert [row.images for row in rows if isinstance(row, Row)] == [
        (ImageRef(None, b"png"),), (ImageRef(f"{tmp_path}/1.png", None),),
    ] * 2  # fmt: skip
    assert [row.extra for row in rows if isinstance(row, Row)] == [{"label": 1}, {}] * 2
    assert [row.source_line for row in rows] == [1, 2, 1, 2]


def test_an_unreadable_file_stops_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a"}\n')
    (tmp_path / "b.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(ManifestError, match=r"b\.jsonl\.gz"):
        _rows(tmp_path)
