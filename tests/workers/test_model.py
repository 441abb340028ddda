"""Loading a pipeline: from disk as from memory, and why not, in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from manifests.errors import ModelError
from workers.model import LoadedModel, inspect_model, load_model
from workers.pipelines import LoadOptions


@pytest.fixture(scope="module")
def saved(tiny: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny.pipe.save_pretrained(folder)
    return folder


def test_random_weights_are_the_same_everywhere_and_leave_the_random_state_alone(tiny: LoadedModel) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = load_model("tiny:flux.1-dev", "cpu", "float32")
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_default_dtype() == torch.float32
    assert again.facts.fingerprint == tiny.facts.fingerprint
    counted = sum(each.numel() for part in ("transformer", "vae", "text_encoder", "text_encoder_2")
                  for each in getattr(again.pipe, part).parameters())  # fmt: skip
    assert again.facts.weights == counted > 0
    for (name, one), (_, other) in zip(
        tiny.pipe.transformer.state_dict().items(), again.pipe.transformer.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name


def test_weights_take_the_dtype_asked_for() -> None:
    model = load_model("tiny:flux.1-dev", "cpu", "bfloat16")
    assert {p.dtype for p in model.pipe.transformer.parameters()} == {torch.bfloat16}
    assert model.facts.dtype == "bfloat16"
    assert torch.get_default_dtype() == torch.float32


def test_a_saved_pipeline_is_the_same_model(tiny: LoadedModel, saved: Path) -> None:
    model = load_model(str(saved), "cpu", "float32")
    assert (model.facts.pipeline, model.facts.family, model.facts.size_multiple) == ("FluxPipeline", "flux.1-dev", 16)
    assert len(model.facts.fingerprint) == 16 and model.facts.fingerprint != tiny.facts.fingerprint
    assert torch.equal(model.pipe.transformer.x_embedder.weight, tiny.pipe.transformer.x_embedder.weight)


def test_a_look_at_a_model_agrees_with_loading_it(tiny: LoadedModel, saved: Path) -> None:
    for text in ("tiny:flux.1-dev", "random:flux.1-dev", str(saved)):
        facts = inspect_model(text)
        assert (facts.size_multiple, facts.parameters, facts.pipeline, facts.min_images, facts.max_images) == (
            16, tiny.facts.parameters, "FluxPipeline", 0, 0,
        )  # fmt: skip
    assert inspect_model("random:flux.1-dev").defaults.steps == 50


@pytest.mark.parametrize("damage", ["index", "class", "weights", "config"])
def test_a_pipeline_that_cannot_load_says_why_in_one_line(saved: Path, tmp_path: Path, damage: str) -> None:
    import shutil

    folder = Path(shutil.copytree(saved, tmp_path / "m"))
    if damage == "index":
        (folder / "model_index.json").write_text("{")
    elif damage == "class":
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "NoSuchPipeline"}))
    elif damage == "weights":
        next((folder / "transformer").glob("*.safetensors")).write_bytes(b"\0" * 100)
    else:
        (folder / "vae" / "config.json").unlink()
    with pytest.raises(ModelError, match=f"^model {folder} cannot be loaded: ") as refused:
        load_model(str(folder), "cpu", "float32")
    assert "\n" not in str(refused.value) and refused.value.__cause__ is not None


def test_a_pipeline_that_takes_no_prompt_is_refused(tmp_path: Path) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
        norm_num_groups=4, layers_per_block=1,
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="DDPMPipeline takes no prompt"):
        load_model(str(tmp_path), "cpu", "float32")


def test_pickled_weights_load_only_when_allowed(tiny: LoadedModel, tmp_path: Path) -> None:
    tiny.pipe.save_pretrained(tmp_path, safe_serialization=False)
    for part in ("text_encoder", "text_encoder_2"):  # transformers saves nothing else any more
        pickle_weights(tmp_path / part)
    with pytest.raises(ModelError, match="--allow-pickle loads weights of other formats"):
        load_model(str(tmp_path), "cpu", "float32")
    model = load_model(str(tmp_path), "cpu", "float32", LoadOptions(allow_pickle=True))
    assert torch.equal(model.pipe.transformer.x_embedder.weight, tiny.pipe.transformer.x_embedder.weight)


def pickle_weights(part: Path) -> None:
    from safetensors.torch import load_file

    for path in part.glob("*.safetensors"):
        torch.save(load_file(path), part / "pytorch_model.bin")
        path.unlink()


def test_a_model_with_code_of_its_own_loads_only_when_trusted(saved: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(saved, tmp_path / "m"))
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = ["pipeline", "OwnPipeline"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "pipeline.py").write_text(
        "from diffusers import FluxPipeline\n\n\nclass OwnPipeline(FluxPipeline):\n    pass\n"
    )
    with pytest.raises(ModelError, match="--trust-remote-code runs the repository's own code"):
        load_model(str(folder), "cpu", "float32")
    model = load_model(str(folder), "cpu", "float32", LoadOptions(trust_remote_code=True))
    assert (model.facts.pipeline, model.facts.family) == ("OwnPipeline", None)


def test_what_a_cpu_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ModelError, match="--offload swap: a CPU has all weights in its memory"):
        load_model("tiny:flux.1-dev", "cpu", "float32", LoadOptions(offload="swap"))
