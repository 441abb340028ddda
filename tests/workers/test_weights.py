"""What weights will take, foretold from headers and from a build without data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from workers.families import FAMILIES
from workers.model import LoadedModel, load_model
from workers.pipelines import LoadOptions
from workers.weights import random_weights, saved_weights


def loaded_gib(pipe: object) -> dict[str, float]:
    """GiB of every component that holds weights."""
    return {
        name: sum(t.numel() * t.element_size() for t in (*part.parameters(), *part.buffers())) / 2**30
        for name, part in pipe.components.items()  # type: ignore[attr-defined]
        if isinstance(part, torch.nn.Module)
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_random_weights_are_foretold(family: str, dtype: str) -> None:
    found = loaded_gib(load_model(f"tiny:{family}", "cpu", dtype).pipe)
    foretold = random_weights(family, "tiny", getattr(torch, dtype), {})
    assert foretold.keys() == found.keys()
    assert foretold == pytest.approx(found, rel=0.02)  # some buffers keep a dtype of their own


def test_full_size_is_what_the_models_are_known_to_take() -> None:
    flux2 = random_weights("flux.2-dev", "full", torch.bfloat16, {})
    assert flux2["transformer"] == pytest.approx(64.4e9 / 2**30, rel=0.01)
    assert flux2["text_encoder"] == pytest.approx(48.0e9 / 2**30, rel=0.01)
    quantized = random_weights("flux.2-dev", "full", torch.bfloat16, {"transformer": "int8"})
    assert quantized["transformer"] == pytest.approx(flux2["transformer"] / 2, rel=0.01)
    assert quantized["text_encoder"] == flux2["text_encoder"]


@pytest.mark.parametrize("shards", [None, "100KB"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_weights_are_foretold(tiny: LoadedModel, tmp_path: Path, shards: str | None, dtype: torch.dtype) -> None:
    options = {"max_shard_size": shards} if shards else {}
    tiny.pipe.save_pretrained(tmp_path, **options)
    tiny.pipe.save_pretrained(tmp_path, variant="fp16", **options)  # files that the loader leaves alone
    found = loaded_gib(load_model(str(tmp_path), "cpu", str(dtype).removeprefix("torch.")).pipe)
    assert saved_weights(str(tmp_path), dtype, {}) == pytest.approx(found, rel=0.02)


def test_weights_saved_in_eight_bits_are_weighed_as_they_load(tiny: LoadedModel, tmp_path: Path) -> None:
    """Without a quantisation that the loader knows, eight-bit floats are widened."""
    tiny.pipe.save_pretrained(tmp_path)
    [path] = (tmp_path / "transformer").glob("*.safetensors")
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in load_file(path).items()}, path)
    found = loaded_gib(load_model(str(tmp_path), "cpu", "bfloat16").pipe)
    assert saved_weights(str(tmp_path), torch.bfloat16, {}) == pytest.approx(found, rel=0.02)


def test_only_what_the_pipeline_loads_is_weighed(tiny: LoadedModel, tmp_path: Path) -> None:
    """Repositories hold more: a whole checkpoint at the top, other formats and older VAEs in folders of their own."""
    tiny.pipe.save_pretrained(tmp_path)
    expected = saved_weights(str(tmp_path), torch.float32, {})
    weights = next((tmp_path / "transformer").glob("*.safetensors")).read_bytes()
    (tmp_path / "flux1-dev.safetensors").write_bytes(weights)
    (tmp_path / "vae_1_0").mkdir()
    (tmp_path / "vae_1_0" / "diffusion_pytorch_model.safetensors").write_bytes(weights)
    assert saved_weights(str(tmp_path), torch.float32, {}) == expected


def test_quantised_weights_are_foretold(tiny: LoadedModel, tmp_path: Path) -> None:
    tiny.pipe.save_pretrained(tmp_path)
    model = load_model(str(tmp_path), "cpu", "float32", LoadOptions(quantize=("int8",)))
    stored = sum(
        part.numel() * part.element_size()
        for parameter in model.pipe.transformer.parameters()
        for part in _parts(parameter)
    )
    foretold = saved_weights(str(tmp_path), torch.float32, {"transformer": "int8"})["transformer"]
    assert foretold == pytest.approx(stored / 2**30, rel=0.35)  # toy matrices have many scales for their size


def _parts(parameter: torch.Tensor) -> list[torch.Tensor]:
    if not hasattr(parameter, "__tensor_flatten__"):
        return [parameter]
    names, _ = parameter.__tensor_flatten__()
    return [getattr(parameter, name) for name in names]
