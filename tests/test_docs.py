"""Documents that show code: every block is run, in order, against two small jobs over the README's manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import renderay
from tests.conftest import ROOT, run, write_jsonl

ROWS: list[dict[str, Any]] = [
    {"id": "fox", "prompt": "a red fox in the snow, photograph", "style": "photo"},
    {"id": "tower", "prompt": "a lighthouse at dusk, watercolour", "style": "watercolour", "seed": 7},
    {"id": "owls", "prompt": "an owl reading a newspaper", "style": "photo", "num_images": 4},
    {"id": "wide", "prompt": "a paper boat on a lake", "style": "watercolour", "width": 128, "height": 64},
    {"id": "oops", "prompt": "a bowl of ramen", "width": 100},
]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block."""
    return FENCE.findall((ROOT / "docs" / document).read_text())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    write_jsonl(folder / "prompts.jsonl", ROWS)
    for name in ("run-a", "run-b"):
        options = ["--model", "tiny:flux.1-dev", "--steps", "4", "--workers", "1"]
        done = run("render", folder / "prompts.jsonl", "--out", folder / name, *options)
        assert done.returncode == 3, done.stderr
    return folder


@pytest.fixture(scope="module")
def exported(home: Path) -> None:
    assert run("export", home / "run-a", "--to", home / "pictures").returncode == 0
    assert run("export", home / "run-a", "--to", home / "shards", "--webdataset").returncode == 0


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize("document", ["python.md", "analysis.md", "export.md"])
def test_every_block_runs(document: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", home / "cache")
    names: dict[str, Any] = {}
    found = blocks(document)
    assert len(found) >= 2
    for language, text in found:
        if language == "sql":
            rows = renderay.open("run-a").sql(text.rstrip().rstrip(";")).fetchall()
            assert rows and all(value is not None for value in rows[0][:2]), text
        elif language == "python":
            exec(compile(text, document, "exec"), names)
        else:
            assert language == "toml"
    if document == "analysis.md":
        [(width, height, pairs, _, _, speedup, same), *_] = names["pairs"].fetchall()
        steady = [_steady_pictures(home / name) for name in ("run-a", "run-b")]
        assert (width, height, same) == (64, 64, 1.0) and speedup > 0
        assert pairs == len(steady[0] & steady[1]) >= 3  # 4 where both runs began with the same row


def _steady_pictures(out: Path) -> set[tuple[str, int]]:
    """The square ones that are no warm-up."""
    rows = renderay.open(out).images.arrow(["id", "image_index", "width", "height", "warmup"]).to_pylist()
    return {
        (row["id"], row["image_index"]) for row in rows if row["width"] == row["height"] == 64 and not row["warmup"]
    }


def test_the_costs_add_up(home: Path) -> None:
    results = renderay.open(home / "run-a")
    query = next(text for language, text in blocks("analysis.md") if language == "sql")
    [(pictures, worked, all_in)] = results.sql(query.rstrip().rstrip(";")).fetchall()
    times = results.images.pandas(["batch_size", "text_encode_ms", "prepare_ms", "denoise_ms", "decode_ms"])
    shares = times.drop(columns="batch_size").sum(axis=1) / times.batch_size
    assert pictures == 7
    assert worked == pytest.approx(shares.sum() / 3.6e6 * 3.50 / 7)
    assert all_in >= worked
