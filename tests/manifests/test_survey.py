"""The survey: row counts, and the type of each column of the manifest's own."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import survey as module
from manifests.columns import ColumnMap
from manifests.errors import ManifestError, SpecError
from manifests.files import find_files
from manifests.survey import Survey, cast_extra, survey


def _survey(*paths: Path, limit: int | None = None, columns: tuple[str, ...] = ()) -> Survey:
    return survey(find_files([str(path) for path in paths]), ColumnMap(columns), limit)


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None, False], "bool"),
        ([1, -(2**63), 2**63 - 1], "int64"),
        ([1, 2**63], "json"),
        ([1, 0.5, None], "float64"),
        (["a", "1"], "string"),
        ([None], "string"),
        ([True, 1], "json"),
        (["a", 1], "json"),
        ([[1]], "json"),
        ([{"a": 1}, None], "json"),
    ],
)
def test_jsonl_types_join(tmp_path: Path, values: list[Any], kind: str) -> None:
    path = _jsonl(tmp_path / "a.jsonl", [{"prompt": "p", "x": value} for value in values])
    found = _survey(path)
    assert found == Survey(len(values), {"x": kind})
    for value in values:  # what was surveyed can be cast and stored
        cast = cast_extra(value, kind)
        arrow = {"bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}.get(kind, pa.string())
        assert pa.array([cast], arrow)[0].as_py() == cast
        if kind == "json" and value is not None:
            assert json.loads(cast) == value


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-5", "0", ""], "int64"),
        (["1", "0.5"], "float64"),
        (["007"], "string"),
        (["+5"], "string"),
        (["-0"], "string"),
        ([" 5"], "string"),
        (["1.10"], "string"),
        (["nan"], "string"),
        (["1_0"], "string"),
        (["9223372036854775808"], "string"),
        (["\u0661"], "string"),  # a digit, but not one that is written back
        (["1", "x"], "string"),
        (["x", "1"], "string"),
    ],
)
def test_csv_cells_are_numbers_only_if_they_are_written_so(tmp_path: Path, cells: list[str], kind: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,x\n" + "".join(f"p,{cell}\n" for cell in cells))
    assert _survey(path) == Survey(len(cells), {"x": kind})
    for cell in filter(None, cells):
        assert str(cast_extra(cell, kind)) == cell or float(cell) == cast_extra(cell, kind)


def test_columns_keep_their_order_and_mapped_ones_change_sides(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a.jsonl", [{"b": 1, "prompt": "p"}, {"a": 1, "Text": "t", "b": 2}])
    assert list(_survey(path).extra) == ["b", "a", "Text"]
    assert list(_survey(path, columns=("prompt=Text",)).extra) == ["b", "prompt", "a"]


def test_bad_records_count_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a"}\n\n{broken\n{"x": 1}\n')
    assert _survey(path) == Survey(3, {"x": "int64"})


def test_parquet_is_surveyed_by_its_schema(tmp_path: Path) -> None:
    columns = {
        "prompt": pa.array(["a", "b"]),
        "i": pa.array([1, 2], pa.int16()),
        "u": pa.array([1, 2], pa.uint64()),
        "f": pa.array([1, 2], pa.float32()),
        "b": pa.array([True, None]),
        "s": pa.array(["x", "y"], pa.large_string()),
        "c": pa.array(["x", "y"]).dictionary_encode(),
        "y": pa.array([b"x", None]),
        "t": pa.array([datetime(2026, 1, 2), None]),
        "d": pa.array([date(2026, 1, 2), None]),
        "m": pa.array([Decimal("1.50"), None]),
        "l": pa.array([[1], None]),
        "o": pa.array([{"k": b"x"}, None]),
        "n": pa.nulls(2),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert _survey(tmp_path / "a.parquet") == Survey(
        2,
        {
            "i": "int64", "u": "json", "f": "float64", "b": "bool", "s": "string", "c": "string", "y": "binary",
            "t": "string", "d": "string", "m": "string", "l": "json", "o": "json", "n": "string",
        },
    )  # fmt: skip


def test_files_of_different_formats_join(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,n,s,t,z\np,1,1,1,1\n")
    (tmp_path / "b.csv").write_text("prompt,z\np,word\n")
    _jsonl(tmp_path / "c.jsonl", [{"n": 0.5, "s": "x", "t": True}])
    pq.write_table(pa.table({"prompt": ["p"], "n": [3]}), tmp_path / "d.parquet")
    assert _survey(tmp_path) == Survey(4, {"n": "float64", "s": "string", "t": "json", "z": "string"})


def test_the_limit_counts_over_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["p"] * 3, "x": [1] * 3}), tmp_path / "a.parquet")
    _jsonl(tmp_path / "b.jsonl", [{"y": 1}, {"z": 1}])
    _jsonl(tmp_path / "c.jsonl", [{"w": 1}])
    assert _survey(tmp_path, limit=2) == Survey(2, {"x": "int64"})
    assert _survey(tmp_path, limit=4) == Survey(4, {"x": "int64", "y": "int64"})
    assert _survey(tmp_path, limit=99).rows == 6


def test_a_manifest_without_a_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(ManifestError, match="holds no row"):
        _survey(tmp_path / "a.jsonl")


def test_too_many_columns_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_EXTRA", 3)
    with pytest.raises(ManifestError, match="more than 3 columns"):
        _survey(_jsonl(tmp_path / "a.jsonl", [{f"key{n}": 1} for n in range(4)]))


@pytest.mark.parametrize(
    ("value", "kind", "cast"),
    [
        (None, "int64", None),
        ("5", "int64", 5),
        (5, "float64", 5.0),
        (b"\x00\xff", "binary", b"\x00\xff"),
        (Decimal("1.50"), "string", "1.50"),
        (datetime(2026, 1, 2, 3), "string", "2026-01-02T03:00:00"),
        ({"z": 1, "a": "ü"}, "json", '{"z": 1, "a": "ü"}'),
        ({"k": [b"\x00\xff", float("nan")]}, "json", '{"k": ["AP8=", null]}'),
        ([("k", date(2026, 1, 2))], "json", '[["k", "2026-01-02"]]'),
        (True, "json", "true"),
    ],
)
def test_cast_extra(value: Any, kind: str, cast: Any) -> None:
    assert cast_extra(value, kind) == cast
    assert type(cast_extra(value, kind)) is type(cast)


def test_cast_extra_refuses_what_was_not_surveyed() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        cast_extra("x", "int64")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_mapped_column_that_no_row_has_is_refused(tmp_path: Path, kind: str) -> None:
    rows = [{"Prompt": "a", "n": 1}, {"Prompt": "b", "n": 2}]
    path = tmp_path / f"m.{kind}"
    if kind == "jsonl":
        _jsonl(path, rows)
    elif kind == "csv":
        path.write_text("Prompt,n\na,1\nb,2\n")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert _survey(path, columns=("prompt=Prompt",)).extra == {"n": "int64"}
    with pytest.raises(SpecError, match=r"--column prompt=Promt: no row has a column 'Promt'; .* are 'Prompt', 'n'$"):
        _survey(path, columns=("prompt=Promt",))
