"""A rendered folder read through `renderay.open`, by every reader it offers."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

import renderay

ROWS = '{"id": "a", "prompt": "a cat", "label": "x"}\n{"id": "b", "prompt": "a dog", "label": "y"}\n{"id": "c"}\n'


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("opened")
    (folder / "rows.jsonl").write_text(ROWS)
    renderay.render(folder / "rows.jsonl", model="tiny:flux.1-dev", out=str(folder / "out"), steps=2, workers=1, seed=1)
    return str(folder / "out")


def test_all_readers_see_the_same_rows(out: str) -> None:
    results = renderay.open(Path(out))
    assert (len(results.images), len(results.steps), len(results.errors)) == (2, 4, 1)
    assert results.job.spec["model"] == "tiny:flux.1-dev"
    arrow = results.images.arrow(["id", "label"]).sort_by("id")
    assert arrow.to_pydict() == {"id": ["a", "b"], "label": ["x", "y"]}
    assert sorted(results.images.pandas(["id"]).id) == ["a", "b"]
    assert results.images.polars(["id", "label"]).sort("id").collect().rows() == [("a", "x"), ("b", "y")]
    assert results.images.duckdb().order("id").project("label").fetchall() == [("x",), ("y",)]
    assert results.steps.arrow(filter=pc.field("step") == 1).num_rows == 2
    joined = "select label, count(*) from steps join images using (id) group by label order by label"
    assert results.sql(joined).fetchall() == [("x", 2), ("y", 2)]


def test_a_folder_without_a_job_says_so(tmp_path: Path) -> None:
    with pytest.raises(renderay.RenderayError, match="no job in it"):
        renderay.open(tmp_path)
