"""The demo model's training, at toy size: it resumes exactly, and leaves a pipeline folder small enough to ship."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from examples.demo_model import train
from examples.demo_model.descent import Descent
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


def together(*script: str) -> subprocess.CompletedProcess[str]:
    """Two processes of torchrun; both are gone when it returns."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *script]
    # on the loopback interface: a machine's own name need not lead back to it
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    with subprocess.Popen(
        launch, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            out, said = running.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            for process in [*psutil.Process(running.pid).children(recursive=True), running]:
                process.kill()
            raise
    return subprocess.CompletedProcess(launch, running.returncode, out, said)


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """Process 0 alone writes; what the clock decides is the same for both."""
    budget = ["--vae-steps", "2", "--flow-minutes", "0.001", "--guidance-steps", "2", "--batch-size", "2"]
    given = [*budget, "--vae-batch-size", "2", "--scenes", "4", "--workers", "0", "--device", "cpu", "--no-compile"]
    train_it = ["-m", "examples.demo_model.train", "--out", str(tmp_path), *given, "--examine-seconds", "0"]
    ended = together(*train_it)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("pipeline,") == 3  # one process tells of three stages
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["processes"] == 2 and record["stages"]["flow"]["steps"] >= 1 and len(weights(tmp_path)) == 4
    with pytest.raises(SystemExit, match="begun by 2 processes, now 1"):
        train.main(["--out", str(tmp_path), *given])


FACTS = """
import json, sys
import torch
from examples.demo_model.descent import Descent
from examples.demo_model.team import Team

team = Team("cpu")
torch.manual_seed(0)
module = torch.nn.Linear(3, 1)
trained = Descent(module, 1e-2, lambda x: module(x).square().mean(), team=team)
batch = torch.arange(12.0).view(4, 3)
trained.step(0, 1.0, batch[team.rank * 2 : team.rank * 2 + 2])
facts = {"weight": module.weight.tolist(), "loss": trained.last_loss.item()}
facts["together"] = team.in_step(trained.parameters)
with torch.no_grad():
    module.weight += team.rank
facts |= {"apart": team.in_step(trained.parameters), "agreed": team.agree(team.rank + 5.0), "share": team.share(6)}
with open(f"{sys.argv[1]}/{team.rank}.json", "w") as file:
    json.dump(facts, file)
team.end()
"""


def test_a_step_of_two_is_the_step_of_one_on_both_batches(tmp_path: Path) -> None:
    (tmp_path / "facts.py").write_text(FACTS)
    ended = together(str(tmp_path / "facts.py"), str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second, "what all must know the same"
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 1)
    alone = Descent(module, 1e-2, lambda x: module(x).square().mean())
    alone.step(0, 1.0, torch.arange(12.0).view(4, 3))
    assert first["weight"] == pytest.approx(module.weight.detach().numpy(), rel=1e-5)
    assert first["loss"] == pytest.approx(alone.last_loss.item())
    assert (first["together"], first["apart"], first["agreed"], first["share"]) == (True, False, 5.0, 3)


def test_every_process_draws_pictures_of_its_own() -> None:
    def seed(rank: int, size: int, step: int) -> int:
        run = SimpleNamespace(options=SimpleNamespace(seed=0, start_from=None), device="cpu", _stage="flow")
        run.team = SimpleNamespace(rank=rank, size=size)
        return Run._generator(run, step).initial_seed()  # type: ignore[arg-type]

    assert len({seed(rank, 2, step) for rank in (0, 1) for step in range(50)}) == 100
    assert seed(0, 1, 7) == 100_000_007
