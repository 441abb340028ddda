"""All four model families through the command, and one pipeline that no file of ours names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import skimage

from tests.conftest import assert_exact, read_table, run, write_jsonl


def photograph(folder: Path, name: str) -> str:
    """One of scikit-image's photographs, in the manifest's folder."""
    shutil.copy(Path(skimage.data_dir) / name, folder / name)
    return name


@pytest.mark.parametrize("family", ["flux.1-dev", "flux.2-dev", "qwen-image"])
def test_text_to_image(tmp_path: Path, family: str) -> None:
    rows = [
        {"id": "a", "prompt": "a red fox", "seed": 1},
        {"id": "b", "prompt": "a much longer prompt about a lighthouse at dusk", "width": 96, "steps": 2},
        {"id": "c", "prompt": "an owl", "num_images": 3},
    ]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    out = tmp_path / "out"
    ended = run("render", manifest, "--model", f"tiny:{family}", "--out", out, "--workers", "1", "--batch-size", "2")
    assert ended.returncode == 0, ended.stderr
    assert_exact(out, {"a": 1, "b": 1, "c": 3})
    images = read_table(out, "images")
    assert {row["negative_prompt"] for row in images} == {" " if family == "qwen-image" else None}
    assert {row["attention_backend"] for row in images} == {"sdpa-flash"}


def test_edit_rows_with_one_and_two_references(tmp_path: Path) -> None:
    one, two = photograph(tmp_path, "astronaut.png"), photograph(tmp_path, "rocket.jpg")
    rows = [
        {"id": "one", "prompt": "make it blue", "image": one},
        {"id": "two", "prompt": "put both together", "images": [one, two], "num_images": 2},
        {"id": "none", "prompt": "nothing to edit"},
        {"id": "gone", "prompt": "x", "image": "missing.png"},
    ]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    out = tmp_path / "out"
    ended = run("render", manifest, "--model", "tiny:qwen-image-edit-2511", "--out", out, "--workers", "1")
    assert ended.returncode == 3, ended.stderr
    assert_exact(out, {"one": 1, "two": 2}, {"none", "gone"})
    errors = {row["id"]: row for row in read_table(out, "errors")}
    assert errors["none"]["field"] == "images" and "needs at least 1" in errors["none"]["message"]
    assert errors["gone"]["stage"] == "reference" and "missing.png" in errors["gone"]["message"]
    references = {row["id"]: row["reference_images"] for row in read_table(out, "images")}
    assert [ref["uri"] for ref in references["two"]] == [str(tmp_path / one), str(tmp_path / two)]
    assert all(len(ref["sha256"]) == 64 for ref in references["one"])
