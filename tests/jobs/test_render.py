"""The command from a manifest to three tables, with real Ray and a tiny real pipeline."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from datasets import load_dataset
from PIL import Image

from jobs.outfolder import require_vacant
from manifests.storage import locate
from tests.conftest import assert_exact, committed_rows, read_table, run, wait_until, write_jsonl

MODEL = "tiny:flux.1-dev"

GOOD = [
    {"id": "plain", "prompt": "a red fox", "subject": "fox", "rank": 1},
    {"id": "wide", "prompt": "a lake", "width": 96, "height": 48, "steps": 2, "guidance_scale": 1.5, "rank": 2},
    {"id": "many", "prompt": "four owls", "num_images": 3, "seed": 11, "subject": "owl"},
    {"id": "cfg", "prompt": "a boat", "negative_prompt": "blurry", "true_cfg_scale": 2.0, "seed": 5},
    {"id": "short", "prompt": "a kite", "params": {"max_sequence_length": 64}, "mixed": {"deep": [1]}, "steps": 3},
    {"prompt": "no id of its own", "model": "the manifest's", "mixed": "text"},
]
BAD = [  # (line, the field at fault)
    ('{"id": "b1"}', "prompt"),
    ('{"id": "b2", "prompt": 7}', "prompt"),
    ('{"id": "b3", "prompt": "x", "width": 100}', "width"),
    ('{"id": "b4", "prompt": "x", "params": {"no_such": 1}}', "params"),
    ('{"id": "b5", "prompt": "x", "image": "cat.png"}', "image"),
    ('{"id": "plain", "prompt": "a second one"}', "id"),
    ('{"id": "b7", "prompt": "x", "steps": 0}', "steps"),
    ('{"id": "b8", "prompt": "x"', "row"),
    ('{"id": "b9", "prompt": "x", "seed": -1}', "seed"),
]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """One job of good and bad rows by turns: its manifest, its output, how the command ended."""
    folder = tmp_path_factory.mktemp("job")
    lines = [json.dumps(row) for row in GOOD]
    for k, (line, _) in enumerate(BAD):
        lines.insert(1 + k + k % 5, line)
    manifest = folder / "rows.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    out = folder / "out"
    return manifest, out, run("render", manifest, "--model", MODEL, "--out", out, "--steps", "4")


def test_good_rows_are_rendered_and_bad_ones_explained(
    rendered: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    manifest, out, ended = rendered
    assert ended.returncode == 3, ended.stderr
    lines = manifest.read_text().splitlines()
    ordinal = next(k for k, line in enumerate(lines) if "no id of its own" in line)
    names = {row.get("id", f"row-{ordinal:09d}"): row.get("num_images", 1) for row in GOOD}
    errors = read_table(out, "errors")
    failed = {(row["source_line"], row["field"]) for row in errors}
    assert failed == {(lines.index(line) + 1, field) for line, field in BAD}
    assert all(row["source_file"] == str(manifest) and row["message"] and row["stage"] == "manifest" for row in errors)
    images = read_table(out, "images")
    assert {(row["id"], row["image_index"]) for row in images} == {(n, k) for n, c in names.items() for k in range(c)}
    assert len(read_table(out, "steps")) == sum(row["steps"] for row in images)
    assert list(out.glob("_staging/*")) == []


def test_a_row_says_what_was_asked_and_what_ran(
    rendered: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    images = {(row["id"], row["image_index"]): row for row in read_table(rendered[1], "images")}
    wide, many = images["wide", 0], images["many", 2]
    assert (wide["width"], wide["height"], wide["steps"], wide["guidance_scale"]) == (96, 48, 2, 1.5)
    assert many["seed"] == 13
    assert json.loads(images["short", 0]["params"]) == {"max_sequence_length": 64}
    assert images["plain", 0]["subject"] == "fox" and images["plain", 0]["rank"] == 1
    assert json.loads(images["short", 0]["mixed"]) == {"deep": [1]}
    own = next(row for row in images.values() if row["prompt"] == "no id of its own")
    assert own["manifest_model"] == "the manifest's" and own["model"] == MODEL
    assert {row["attention_backend"] for row in images.values()} == {"sdpa-flash"}
    assert all(row["attention_requested"] == "auto" and row["exact"] and not row["compiled"] for row in images.values())
    assert all(row["started_at"].tzinfo is not None for row in images.values())


def test_steps_add_up_to_the_denoising_time(rendered: tuple[Path, Path, subprocess.CompletedProcess[str]]) -> None:
    out = rendered[1]
    worst = duckdb.sql(f"""
        select max(abs(total - denoise_ms) / denoise_ms)
        from (select id, image_index, sum(step_ms) total from '{out}/steps/*.parquet' group by all)
        join '{out}/images/*.parquet' using (id, image_index)
    """).fetchall()[0]
    assert worst[0] < 0.02


def test_it_says_how_it_gets_going_a_line_a_phase(
    rendered: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    phases = [line.partition(" s  ")[2] for line in rendered[2].stderr.splitlines()][:5]
    assert [phase.split()[0] for phase in phases] == ["15", "loading", "loaded", "measuring", "rendering:"]
    weights = json.loads((rendered[1] / "job.json").read_text())["model"]["weights"]
    assert weights > 100_000 and f"{weights / 1e3:.3g} k weights on CPU" in phases[2]


def test_datasets_decodes_the_pictures(
    rendered: tuple[Path, Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    images = load_dataset(str(rendered[1]), split="train", cache_dir=str(tmp_path))
    assert isinstance(images[0]["image"], Image.Image)
    steps = load_dataset(str(rendered[1]), "steps", split="train", cache_dir=str(tmp_path))
    assert steps.num_rows == len(read_table(rendered[1], "steps"))


def test_a_model_that_cannot_load_stops_the_job_with_the_cause(tmp_path: Path) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "x"}])
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline", "vae": ["diffusers", "AutoencoderKL"]}')
    began = time.monotonic()
    ended = run("render", manifest, "--model", folder, "--out", tmp_path / "out")
    assert ended.returncode == 2
    said = [line for line in ended.stderr.splitlines() if not re.match(r" *\d+\.\d s  ", line)]  # besides progress
    assert len(said) == 1 and str(folder) in said[0] and "cannot be loaded" in said[0]
    assert time.monotonic() - began < 60
    assert "Traceback" in "".join(path.read_text() for path in (tmp_path / "out").glob("_logs/*"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_logs"]
    require_vacant(locate(tmp_path / "out"))  # it does not hinder the next try


def test_a_backend_that_is_not_installed_stops_before_loading(tmp_path: Path) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "x"}])
    ended = run("render", manifest, "--model", MODEL, "--out", tmp_path / "out", "--attention", "flash")
    assert ended.returncode == 2
    assert "pip install --no-build-isolation 'renderay[flash]'" in ended.stderr
    assert not list((tmp_path / "out" / "_logs").glob("*-w*.log"))


def test_ctrl_c_stops_in_order_and_a_larger_limit_goes_on(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"id": f"r{k}", "prompt": f"picture {k}"} for k in range(120)])
    out = tmp_path / "out"
    job = ["render", manifest, "--model", MODEL, "--out", out, "--lease-seconds", "0.5"]
    process = start(*job, "--limit", "100")
    wait_until(lambda: committed_rows(out) > 4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "resumes" in errors and "Traceback" not in errors
    assert run(*job, "--limit", "110").returncode == 0
    assert_exact(out, {f"r{k}": 1 for k in range(110)})
