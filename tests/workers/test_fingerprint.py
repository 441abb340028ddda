"""Two sets of weights are told apart; a copy is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from workers.fingerprint import fingerprint_folder, fingerprint_random


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "transformer").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    weights = {"a": torch.arange(300_000, dtype=torch.float32), "b": torch.ones(4, 5)}
    save_file(weights, folder / "transformer" / "model.safetensors")
    return folder


def test_a_copy_elsewhere_has_the_same_fingerprint(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    (copy / ".cache").mkdir()
    (copy / "preview.png").write_bytes(b"not part of the model")
    assert fingerprint_folder(str(copy)) == fingerprint_folder(str(folder))
    assert len(fingerprint_folder(str(folder))) == 16


@pytest.mark.parametrize(
    "weights",
    [
        {"a": torch.arange(300_000, dtype=torch.float32) * 1.001, "b": torch.ones(4, 5)},  # a fine-tune: same header
        {"a": torch.arange(300_000, dtype=torch.float32), "b": torch.ones(5, 4)},  # same bytes, another shape
        {"a": torch.arange(300_000, dtype=torch.int32), "b": torch.ones(4, 5)},
        {"a": torch.arange(300_001, dtype=torch.float32), "b": torch.ones(4, 5)},
    ],
)
def test_other_weights_have_another(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    before = fingerprint_folder(str(folder))
    save_file(weights, folder / "transformer" / "model.safetensors")
    assert fingerprint_folder(str(folder)) != before


@pytest.mark.parametrize("name", ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/merges.txt"])
def test_another_configuration_has_another(folder: Path, name: str) -> None:
    before = fingerprint_folder(str(folder))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text('{"_class_name": "FluxPipelinE"}')
    assert fingerprint_folder(str(folder)) != before


def test_random_weights_are_known_by_what_they_are_made_from() -> None:
    one = fingerprint_random("tiny:flux.1-dev", "float32")
    assert one == fingerprint_random("tiny:flux.1-dev", "float32")
    assert (
        len(
            {one, fingerprint_random("random:flux.1-dev", "float32"), fingerprint_random("tiny:flux.1-dev", "bfloat16")}
        )
        == 3
    )
