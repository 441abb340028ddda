"""Qwen-Image-Edit: embeddings, call and decode against the plain diffusers call; references at toy size."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as module
from PIL import Image

from workers.families.qwen_image_edit import QwenImageEdit

FAMILY = QwenImageEdit()
PROMPT = "make the sky green"


def photo(width: int, height: int, seed: int) -> Image.Image:
    """A gradient with noise."""
    noise = np.random.default_rng(seed).normal(0, 20, (height, width, 3))
    ramp = np.linspace(0, 255, width)[None, :, None] * np.array([1.0, 0.5, 0.2])
    return Image.fromarray(np.clip(ramp + noise, 0, 255).astype(np.uint8))


IMAGES = [photo(120, 90, 0), photo(70, 130, 1)]


@pytest.fixture(scope="module")
def pipe() -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = FAMILY.build("tiny")
    built.set_progress_bar_config(disable=True)
    yield built
    torch.set_num_threads(threads)


def generator() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(7)


def in_parts(pipe: Any, images: list[Image.Image], negative: str | None = " ", **size: int) -> torch.Tensor:
    """The picture as a worker makes it, (1, 3, H, W)."""
    with torch.no_grad():
        embeddings = FAMILY.encode(pipe, PROMPT, negative, images, {"max_sequence_length": 512})
        height, width = FAMILY.size(pipe, size.get("height"), size.get("width"), images)
        assert height is not None and width is not None
        arguments = FAMILY.arguments(pipe, [PROMPT], [negative], images) | embeddings
        with FAMILY.calling(pipe):
            latents = pipe(
                **arguments,
                height=height,
                width=width,
                num_inference_steps=2,
                true_cfg_scale=4.0,
                generator=[generator()],
                output_type=FAMILY.output_type,
                return_dict=False,
            )[0]
        return FAMILY.decode(pipe, latents, height, width)


def plainly(pipe: Any, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch, **size: int) -> torch.Tensor:
    """The picture of the plain call, with both of diffusers' globals at 64x64 pixels."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "VAE_IMAGE_SIZE", 64 * 64)
        patch.setattr(module, "CONDITION_IMAGE_SIZE", 64 * 64)
        return pipe(
            image=images,
            prompt=PROMPT,
            negative_prompt=" ",
            true_cfg_scale=4.0,
            num_inference_steps=2,
            generator=generator(),
            output_type="pt",
            **size,
        ).images


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("size", [{"height": 64, "width": 64}, {"height": 48, "width": 80}])
def test_parts_equal_the_plain_call(
    pipe: Any, monkeypatch: pytest.MonkeyPatch, count: int, size: dict[str, int]
) -> None:
    images = IMAGES[:count]
    picture = in_parts(pipe, images, **size)
    assert picture.shape == (1, 3, size["height"], size["width"])
    assert torch.equal(picture, plainly(pipe, images, monkeypatch, **size))


def test_without_a_size_it_is_that_of_the_last_image(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def check_inputs(prompt: Any, height: int, width: int, **rest: Any) -> None:
        asked.append((height, width))
        raise StopIteration

    monkeypatch.setattr(pipe, "check_inputs", check_inputs)
    images = [IMAGES[0], photo(300, 70, 2)]
    for height, width in [(None, None), (64, None), (None, 64)]:
        with pytest.raises(StopIteration):
            pipe(image=images, prompt=PROMPT, height=height, width=width)
        assert asked.pop() == FAMILY.size(pipe, height, width, images)
    assert FAMILY.size(pipe, None, None, images) == (480, 2112)


def test_the_prompt_is_encoded_with_its_images(pipe: Any) -> None:
    with torch.no_grad():
        one, other, both = (FAMILY.encode(pipe, PROMPT, " ", images, {}) for images in (IMAGES[:1], IMAGES[1:], IMAGES))
        alone = FAMILY.encode(pipe, PROMPT, None, IMAGES[:1], {})
    assert set(one) == {f"{sign}prompt_embeds{mask}" for sign in ("", "negative_") for mask in ("", "_mask")}
    assert not torch.equal(one["prompt_embeds"][:, -5:], other["prompt_embeds"][:, -5:])
    assert both["prompt_embeds"].shape[1] > one["prompt_embeds"].shape[1] > one["negative_prompt_embeds"].shape[1]
    assert set(alone) == {"prompt_embeds", "prompt_embeds_mask"}
    assert FAMILY.length(one) != FAMILY.length(both)


def test_the_reference_reaches_the_picture(pipe: Any) -> None:
    assert not torch.equal(
        in_parts(pipe, IMAGES[:1], height=64, width=64), in_parts(pipe, [photo(120, 90, 5)], height=64, width=64)
    )


def test_toy_reference_sizes_hold_for_tiny_pipelines_and_their_calls_alone(pipe: Any) -> None:
    def sizes() -> tuple[int, int]:
        return module.VAE_IMAGE_SIZE, module.CONDITION_IMAGE_SIZE

    published = (1024 * 1024, 384 * 384)
    with pytest.raises(KeyError), FAMILY.calling(pipe):
        assert sizes() == (4096, 4096)
        raise KeyError
    assert published == (module.VAE_IMAGE_SIZE, module.CONDITION_IMAGE_SIZE)
    with torch.device("meta"):
        full = FAMILY.build("full")
    with FAMILY.calling(full):
        assert published == (module.VAE_IMAGE_SIZE, module.CONDITION_IMAGE_SIZE)


def test_saved_and_loaded_it_draws_the_same(pipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "QwenImageEditPlusPipeline"
    assert index["processor"] == ["transformers", "Qwen2VLProcessor"]
    loaded = DiffusionPipeline.from_pretrained(tmp_path, **FAMILY.loaded_apart(str(tmp_path)))
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is QwenImageEditPlusPipeline
    picture = in_parts(loaded, IMAGES, height=64, width=64)
    assert torch.equal(picture, plainly(loaded, IMAGES, monkeypatch, height=64, width=64))
    # not to the bit: loaded weights lie in the mapped file, where kernels meet another alignment
    torch.testing.assert_close(picture, in_parts(pipe, IMAGES, height=64, width=64), rtol=0, atol=1e-5)


def test_a_published_processor_loads(pipe: Any, tmp_path: Path) -> None:
    """The files of Qwen/Qwen-Image-Edit-2511 are older than processor_config.json."""
    pipe.processor.tokenizer.save_pretrained(tmp_path / "processor")
    published = {
        "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "Qwen2VLImageProcessorFast",
        "image_std": [0.26862954, 0.26130258, 0.27577711], "max_pixels": 12845056, "merge_size": 2, "min_pixels": 3136,
        "patch_size": 14, "processor_class": "Qwen2VLProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"longest_edge": 12845056, "shortest_edge": 3136}, "temporal_patch_size": 2,
    }  # fmt: skip
    (tmp_path / "processor" / "preprocessor_config.json").write_text(json.dumps(published))
    parts = FAMILY.loaded_apart(str(tmp_path))
    if not parts:
        pytest.skip("torchvision is here: diffusers' own loader serves")
    made = parts["processor"](text=["<|image_pad|>"], images=[Image.new("RGB", (384, 384))], return_tensors="pt")
    assert made["image_grid_thw"].tolist() == [[1, 28, 28]]
    assert made["input_ids"].shape == (1, 14 * 14)


def test_what_rows_may_say(pipe: Any) -> None:
    assert FAMILY.image_limits(pipe) == (1, None)
    assert FAMILY.max_batch == 1
    taken = inspect.signature(type(pipe).__call__).parameters
    assert {"true_cfg_scale", "negative_prompt", "image"} <= taken.keys()
    assert (FAMILY.defaults.steps, FAMILY.defaults.true_cfg_scale, FAMILY.defaults.negative_prompt) == (40, 4.0, " ")
