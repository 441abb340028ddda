"""The demo model's training, at toy size: it resumes exactly, and leaves a pipeline folder small enough to ship."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from examples.demo_model import train
from examples.demo_model.pipeline import MAX_BYTES
from examples.demo_model.run import Run
from tests.conftest import ROOT

STEPS = ["--vae-steps", "2", "--flow-steps", "2", "--guidance-steps", "2"]
SIZES = ["--scenes", "4", "--batch-size", "1", "--vae-batch-size", "1", "--workers", "0"]
TOY = [*STEPS, *SIZES, "--checkpoint-seconds", "0", "--examine-seconds", "0", "--device", "cpu", "--no-compile"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("straight")
    train.main(["--out", str(out), *TOY])
    return out


def weights(out: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in (out / "pipeline").rglob("*.safetensors")}


def test_the_folder_is_small_and_its_history_is_told(straight: Path) -> None:
    files = [path for path in (straight / "pipeline").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    assert json.loads((straight / "pipeline" / "model_index.json").read_text())["_class_name"] == "FluxPipeline"
    stages = json.loads((straight / "training.json").read_text())["stages"]
    assert {name: stage["steps"] for name, stage in stages.items()} == {"vae": 2, "flow": 2, "guidance": 2}


@pytest.mark.parametrize("stage", ["vae", "flow", "guidance"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    stage: str, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Run.tell

    def interrupted(self: Run, name: str, step: int, *rest: Any) -> None:
        if (name, step) == (stage, 1):
            raise KeyboardInterrupt
        told(self, name, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "tell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.main(["--out", str(tmp_path), *TOY])
    train.main(["--out", str(tmp_path), *TOY])
    assert weights(tmp_path) == weights(straight)


def test_a_stage_left_out_leaves_the_weights_of_the_folder_it_started_from(straight: Path, tmp_path: Path) -> None:
    rest = ["--vae-minutes", "0", "--guidance-minutes", "0", "--flow-steps", "1", *TOY[len(STEPS) :]]
    train.main(["--out", str(tmp_path), "--start-from", str(straight / "pipeline"), *rest])
    before, after = weights(straight), weights(tmp_path)
    assert before["vae"] == after["vae"]
    assert before["transformer"] != after["transformer"]


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """Each ends with the weights of process 0, which alone writes; the clock's decisions are the same for both."""
    budget = ["--vae-steps", "2", "--flow-minutes", "0.001", "--guidance-steps", "2", "--batch-size", "2"]
    given = [*budget, "--vae-batch-size", "2", "--scenes", "4", "--workers", "0", "--device", "cpu", "--no-compile"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    ended = subprocess.run(
        [*launch, "-m", "examples.demo_model.train", "--out", str(tmp_path), *given, "--examine-seconds", "0"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.count("pipeline,") == 3  # one process tells of three stages
    stages = json.loads((tmp_path / "training.json").read_text())["stages"]
    assert stages["flow"]["steps"] >= 1 and len(weights(tmp_path)) == 4
