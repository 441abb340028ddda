"""LoRA weights merged into the tiny pipeline, against peft's own unmerged adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from manifests.errors import ModelError, SpecError
from tests.workers.conftest import TINY
from workers.lora import LoraReference, parse_lora
from workers.model import load_model
from workers.pipelines import LoadOptions


def saved_lora(folder: Path) -> Path:
    """A LoRA of the tiny transformer's attention, large enough to be seen."""
    pipe = load_model(TINY, "cpu", "float32").pipe
    torch.manual_seed(1)
    pipe.transformer.add_adapter(
        LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v"])
    )
    FluxPipeline.save_lora_weights(folder, transformer_lora_layers=get_peft_model_state_dict(pipe.transformer))
    return folder / "pytorch_lora_weights.safetensors"


def draw(pipe: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return pipe("a fox", width=64, height=64, num_inference_steps=2, generator=generator, output_type="pt").images


def test_merged_weights_draw_what_the_adapter_draws(tmp_path: Path) -> None:
    path = saved_lora(tmp_path)
    merged = load_model(TINY, "cpu", "float32", LoadOptions(lora=(f"{path}:0.5",)))
    bare = load_model(TINY, "cpu", "float32")
    plain = load_model(TINY, "cpu", "float32").pipe
    plain.load_lora_weights(str(path), adapter_name="style")
    plain.set_adapters(["style"], adapter_weights=[0.5])
    assert (draw(merged.pipe) - draw(plain)).abs().max() < 1e-5
    assert (draw(merged.pipe) - draw(bare.pipe)).abs().max() > 1e-3
    assert merged.facts.fingerprint != bare.facts.fingerprint
    assert (
        merged.facts.fingerprint != load_model(TINY, "cpu", "float32", LoadOptions(lora=(str(path),))).facts.fingerprint
    )


def test_weights_that_cannot_be_loaded_are_one_line(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match=r"none\.safetensors cannot be loaded") as refused:
        load_model(TINY, "cpu", "float32", LoadOptions(lora=(missing,)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name", "scale"),
    [
        ("a/b", "a/b", 1.0),
        ("a/b:0.8", "a/b", 0.8),
        ("x.safetensors:-1", "x.safetensors", -1.0),
        ("c:/x/y", "c:/x/y", 1.0),
    ],
)
def test_what_a_reference_says(text: str, name: str, scale: float) -> None:
    assert parse_lora(text) == LoraReference(name, scale)


@pytest.mark.parametrize("text", ["a/b:strong", "a/b:inf", ":1", "a/b:nan"])
def test_a_scale_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="lora"):
        parse_lora(text)
