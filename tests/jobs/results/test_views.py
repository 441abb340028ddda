"""The tables in DuckDB: the same rows whichever reader gives them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.results.opened import open_results
from manifests.storage import locate
from tests.jobs.results.made import error, make_out, picture


@pytest.mark.parametrize("name", ["plain", "label=other", "run[1]", "what?", "all*"])
def test_a_folders_name_is_no_pattern_and_no_column(tmp_path: Path, name: str) -> None:
    for folder in (name, "run1", "whats", "allrun"):  # what the patterns would find too
        make_out(locate(tmp_path / folder), [picture(k, label="own") for k in range(3)], extra={"label": "string"})
    results = open_results(tmp_path / name)
    rows = [("r0", "own"), ("r1", "own"), ("r2", "own")]
    assert results.sql("select id, label from images order by id").fetchall() == rows
    assert results.images.duckdb().project("id, label").order("id").fetchall() == rows
    assert [p.id for p in results.pictures("label = 'own' and id in (select id from steps)", limit=2)] == ["r0", "r1"]


def test_tables_without_a_file_are_empty_views(tmp_path: Path) -> None:
    make_out(locate(tmp_path), errors=[error(0, "bad")])
    results = open_results(tmp_path)
    assert results.sql("select (select count(*) from images), (select count(*) from errors)").fetchall() == [(0, 1)]
    assert results.steps.duckdb().fetchall() == []


def test_a_column_that_older_files_lack_is_null(tmp_path: Path) -> None:
    make_out(locate(tmp_path), [picture(0)])
    (file,) = (tmp_path / "images").glob("*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["revision"]), file)
    assert open_results(tmp_path).sql("select id, revision from images").fetchall() == [("r0", None)]


def test_relations_of_two_tables_join_on_the_modules_own_connection(tmp_path: Path) -> None:
    make_out(locate(tmp_path), [picture(0), picture(1)])
    results = open_results(tmp_path)
    images, steps = results.images.duckdb(), results.steps.duckdb()
    assert duckdb.sql("select count(*) from images join steps using (id)").fetchall() == [(10,)]
    assert pa.table(images.project("id").to_arrow_table()).num_rows == 2 and len(steps.fetchall()) == 10
