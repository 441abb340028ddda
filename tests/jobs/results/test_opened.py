"""A rendered folder read through `renderay.open`, by every reader it offers."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable
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


def test_pictures_come_decoded_by_id_or_in_the_manifests_order(out: str) -> None:
    results = renderay.open(out)
    picture = results.picture("b")
    assert picture.image.size == (64, 64) and picture.record["label"] == "y" and picture.image_index == 0
    assert [picture.id for picture in results.pictures()] == ["a", "b"]
    found = results.pictures("label = 'y' and id in (select id from steps where step = 1)")
    assert [(picture.id, picture.data) for picture in found] == [("b", picture.data)]
    assert [picture.id for picture in results.pictures(limit=1)] == ["a"]


def test_a_picture_that_is_not_there_says_why(out: str) -> None:
    results = renderay.open(out)
    with pytest.raises(renderay.RenderayError, match="no picture 0 of 'c', which failed: missing"):
        results.picture("c")
    with pytest.raises(renderay.RenderayError, match=r"no picture 1 of 'a'$"):
        results.picture("a", 1)
    with pytest.raises(renderay.RenderayError, match=r"^where labl = 1: .*labl"):
        results.pictures("labl = 1")


def test_results_show_what_they_are(out: str) -> None:
    results = renderay.open(out)
    assert repr(results) == f"<Results {out}: tiny:flux.1-dev, 3 manifest rows>"
    assert repr(results.steps) == "<steps: 4 rows, 17 columns>"
    assert repr(results.picture("a")) == "<Picture 'a' 0, 64x64 png: 'a cat'>"


def test_two_jobs_in_one_query(out: str) -> None:
    results = renderay.open(out)
    joined = "select count(*) from images a join b_images b using (id, image_index) where a.sha256 = b.sha256"
    assert results.sql(joined, b=renderay.open(out)).fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("package", "read"),
    [
        ("pandas", lambda results: results.images.pandas()),
        ("polars", lambda results: results.images.polars()),
        ("duckdb", lambda results: results.images.duckdb()),
        ("duckdb", lambda results: results.sql("select 1")),
        ("duckdb", lambda results: results.pictures("true")),
    ],
)
def test_a_package_that_is_missing_is_one_line(
    out: str, monkeypatch: pytest.MonkeyPatch, package: str, read: Callable[[renderay.Results], object]
) -> None:
    results = renderay.open(out)
    monkeypatch.setattr(sys, "meta_path", [_Missing(package), *sys.meta_path])
    monkeypatch.delitem(sys.modules, package, raising=False)
    line = rf"needs {package}, which is not installed: pip install 'renderay\[analysis\]'$"
    with pytest.raises(renderay.RenderayError, match=line):
        read(results)


class _Missing(importlib.abc.MetaPathFinder):
    """Makes one package look as if it were not installed."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self._package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
