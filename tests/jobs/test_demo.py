"""The model that ships inside draws what it is asked for, and whatever way renderay takes to a picture, it stays right.

What is right is measured on pixels (examples/demo_model), on prompts that its training never saw.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from examples.demo_model.evaluate import held_out_prompts, rendered_by_renderay
from examples.demo_model.examine import examine
from examples.demo_model.measure import measure
from tests.conftest import committed_rows, digests, kill, run, wait_until, write_jsonl
from workers import demo

PROMPTS = held_out_prompts(14, seed=3)
JOB = ("--model", "demo", "--steps", "12")


def pictures(out: str | Path) -> list[np.ndarray]:
    """One of each prompt, (128, 128, 3)."""
    return list(rendered_by_renderay(str(out), [name for name, _, _ in PROMPTS]))


def verdicts(out: str | Path) -> list[bool]:
    """Whether each prompt's picture is right in everything."""
    return [
        examine(scene, measure(picture)).everything
        for (_, scene, _), picture in zip(PROMPTS, pictures(out), strict=True)
    ]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"id": name, "prompt": prompt} for name, _, prompt in PROMPTS]
    return write_jsonl(tmp_path_factory.mktemp("demo") / "held-out.jsonl", rows)


@pytest.fixture(scope="module")
def plain(manifest: Path) -> list[bool]:
    """One picture a batch, attention as torch picks it."""
    ended = run("render", manifest, *JOB, "--out", manifest.parent / "plain")
    assert ended.returncode == 0, ended.stderr
    return verdicts(manifest.parent / "plain")


def test_held_out_prompts_are_drawn_right(plain: list[bool]) -> None:
    assert sum(plain) >= 0.85 * len(PROMPTS)


def test_batches_kernels_compilation_and_object_storage_leave_it_where_it_was(
    manifest: Path, plain: list[bool], s3: str
) -> None:
    other = ("--batch-size", "4", "--attention", "sdpa-math", "--compile", "--workers", "1")
    ended = run("render", manifest, *JOB, *other, "--out", f"{s3}/demo")
    assert ended.returncode == 0, ended.stderr
    assert verdicts(f"{s3}/demo") == plain
    here, there = (pictures(out) for out in (manifest.parent / "plain", f"{s3}/demo"))
    assert all(np.abs(a.astype(int) - b).max() <= 3 for a, b in zip(here, there, strict=True))


@pytest.mark.usefixtures("plain")
def test_a_kill_and_a_resume_change_no_bit(
    manifest: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    local = tmp_path / "out"
    job = ["render", manifest, *JOB, "--lease-seconds", "1", "--workers", "1"]
    first = start(*job, "--out", local)
    wait_until(lambda: committed_rows(local) > 0)
    kill(first.pid)
    first.wait()
    assert committed_rows(local) < len(PROMPTS), "over before the kill: give it more prompts"
    assert run(*job, "--out", local).returncode == 0
    assert digests(local) == digests(manifest.parent / "plain")


def test_the_demo_ends_with_a_report_and_a_contact_sheet_also_again_and_elsewhere(tmp_path: Path) -> None:
    def shown(out: Path) -> str:
        ended = run("demo", "--out", out)
        assert ended.returncode == 0, ended.stderr
        files = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines()[-2:])
        assert Path(files["report"]).parent == out and Path(files["pictures"]).is_relative_to(out)
        assert Path(files["report"]).read_text().startswith("<!doctype html>")
        assert Path(files["pictures"]).read_bytes()[:3] == b"\xff\xd8\xff"
        return ended.stdout

    first = tmp_path / "my demo"
    said = shown(first)
    assert "30 rendered now" in said and f"--out '{first}'" in said
    assert "nothing left to render" in shown(first.rename(tmp_path / "moved"))


def test_check_tells_of_rows_and_nothing_else(manifest: Path) -> None:
    ended = run("check", manifest, "--model", "demo")
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, f"{len(PROMPTS)} rows, 0 bad\n")


def test_a_row_of_another_size_is_bad(tmp_path: Path) -> None:
    rows = [{"prompt": "a sun", "width": 128}, {"prompt": "a star", "width": 256}, {"prompt": "a sun", "height": 100}]
    ended = run("check", write_jsonl(tmp_path / "m.jsonl", rows), "--model", "demo")
    assert ended.returncode == 3
    assert [line.removeprefix(str(tmp_path)) for line in ended.stdout.splitlines()] == [
        "/m.jsonl:2: width: 256: the model draws 128x128 only; leave width and height out",
        "/m.jsonl:3: height: 100: the model draws 128x128 only; leave width and height out",
    ]


def test_it_is_a_genuine_pipeline_of_ten_megabytes_at_most() -> None:
    from diffusers import DiffusionPipeline, FluxPipeline

    pipe = DiffusionPipeline.from_pretrained(demo.FOLDER)
    assert type(pipe) is FluxPipeline and pipe.vae.config.sample_size == demo.DEFAULTS.width
    assert sum(path.stat().st_size for path in demo.FOLDER.rglob("*") if path.is_file()) < 10_000_000


def test_a_capital_changes_nothing() -> None:
    import torch
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(demo.FOLDER)
    texts = ("a red circle on a yellow background", "A Red Circle on a Yellow Background")
    with torch.no_grad():
        small, big = (pipe.encode_prompt(text, None, max_sequence_length=40)[:2] for text in texts)
    assert all(torch.equal(a, b) for a, b in zip(small, big, strict=True))
