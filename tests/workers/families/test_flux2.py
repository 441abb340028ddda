"""FLUX.2-dev: renders what the pipeline's own call renders, at toy size; has the published size otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.utils import is_torchvision_available

from workers.families.flux2 import Flux2
from workers.model import inspect_model, load_model

FAMILY = Flux2()
SHORT, LONG = "a red fox", "a lighthouse in a storm, oil on canvas, seen from a small boat 🚤"
LIKE_SHORT = "a red dog"  # as many tokens


@pytest.fixture(scope="module")
def pipe() -> Iterator[Any]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield quiet(FAMILY.build("tiny"))
    torch.set_num_threads(before)


def quiet(pipe: Any) -> Any:
    """Without progress bars, and with latent statistics that change something."""
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    pipe.vae.bn.running_mean.copy_(torch.randn(128, generator=generator))
    pipe.vae.bn.running_var.copy_(torch.rand(128, generator=generator) + 0.5)
    return pipe


def call(height: int, width: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return {
        "height": height,
        "width": width,
        "num_inference_steps": 2,
        "guidance_scale": 4.0,
        "generator": generators[0] if len(seeds) == 1 else generators,
    }


def rendered(
    pipe: Any,
    prompts: list[str],
    height: int = 64,
    width: int = 64,
    seeds: tuple[int, ...] = (7,),
    images: tuple[Image.Image, ...] = (),
    **params: Any,
) -> np.ndarray:
    """Pictures as renderay makes them: (B, H, W, 3) bytes."""
    with torch.no_grad():
        found = [FAMILY.encode(pipe, prompt, None, images, params) for prompt in prompts]
        assert len({FAMILY.length(one) for one in found}) == 1
        embeddings = {name: torch.cat([one[name] for one in found]) for name in found[0]}
        further = FAMILY.arguments(pipe, prompts, [None] * len(prompts), images)
        output = pipe(**embeddings, **further, **call(height, width, seeds), output_type=FAMILY.output_type).images
        decoded = FAMILY.decode(pipe, output, height, width)
    return (decoded.permute(0, 2, 3, 1).float().numpy() * 255).round().astype(np.uint8)


def photo(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 48)])
@pytest.mark.parametrize("prompt", [SHORT, LONG])
def test_equals_the_plain_call(pipe: Any, prompt: str, height: int, width: int) -> None:
    plain = np.asarray(pipe(prompt=prompt, **call(height, width, (7,))).images[0])
    ours = rendered(pipe, [prompt], height, width)[0]
    assert plain.shape == (height, width, 3)
    assert plain.std() > 5
    assert np.array_equal(ours, plain)


def test_references_equal_the_plain_call(pipe: Any) -> None:
    references = (photo(80, 64, 1), photo(64, 100, 2))
    plain = np.asarray(pipe(image=list(references), prompt=SHORT, **call(64, 64, (7,))).images[0])
    assert np.array_equal(rendered(pipe, [SHORT], images=references)[0], plain)
    assert not np.array_equal(rendered(pipe, [SHORT], images=references[:1])[0], plain)
    assert FAMILY.image_limits(pipe) == (0, 10)


def test_prompts_matter_and_batches_agree_with_single_pictures(pipe: Any) -> None:
    both = rendered(pipe, [SHORT, LIKE_SHORT], seeds=(7, 8))
    single = np.concatenate([rendered(pipe, [SHORT], seeds=(7,)), rendered(pipe, [LIKE_SHORT], seeds=(8,))])
    assert np.abs(both.astype(int) - single).max() <= 1
    assert not np.array_equal(rendered(pipe, [SHORT]), rendered(pipe, [LIKE_SHORT]))


def test_every_prompt_has_the_same_length_unless_a_row_sets_it(pipe: Any) -> None:
    with torch.no_grad():
        short, long = (FAMILY.encode(pipe, prompt, None, (), {}) for prompt in (SHORT, LONG))
        cut = FAMILY.encode(pipe, SHORT, None, (), {"max_sequence_length": 64})
    assert FAMILY.length(short) == FAMILY.length(long) == (512, 96)
    assert FAMILY.length(cut) == (64, 96)
    shorter = rendered(pipe, [SHORT], max_sequence_length=64)[0]
    assert np.array_equal(shorter, pipe(prompt=SHORT, max_sequence_length=64, **call(64, 64, (7,))).images[0])


def test_the_text_encoder_may_rewrite_the_prompt(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def upsample(prompt: str, **options: Any) -> list[str]:
        asked.append(options | {"draw": torch.rand(()).item()})
        return [f"{prompt}, {LONG}"]

    monkeypatch.setattr(pipe, "upsample_prompt", upsample)
    state = torch.get_rng_state()
    one, two = (rendered(pipe, [SHORT], caption_upsample_temperature=0.15) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert asked[0] == asked[1] == {"images": None, "temperature": 0.15, "draw": asked[0]["draw"]}
    assert np.array_equal(one, two)
    assert np.array_equal(one, rendered(pipe, [f"{SHORT}, {LONG}"]))


def test_survives_saving_and_loading(pipe: Any, tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    pipe.save_pretrained(tmp_path)
    loaded = DiffusionPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is type(pipe)
    assert np.array_equal(rendered(loaded, [LONG]), rendered(pipe, [LONG]))


@pytest.mark.skipif(is_torchvision_available(), reason="the published processor loads here")
def test_the_published_processor_is_done_without_where_it_cannot_load(pipe: Any, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "PixtralProcessor"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    loaded = load_model(str(tmp_path), "cpu", "float32")
    assert np.array_equal(rendered(loaded.pipe, [LONG]), rendered(pipe, [LONG]))
    assert inspect_model(str(tmp_path)).size_multiple == 16


def test_half_precision_keeps_rotary_frequencies(pipe: Any) -> None:
    torch.set_default_dtype(torch.bfloat16)
    try:
        half = FAMILY.build("tiny")
    finally:
        torch.set_default_dtype(torch.float32)
    assert {parameter.dtype for parameter in half.transformer.parameters()} == {torch.bfloat16}
    exact = dict(pipe.text_encoder.named_buffers())
    for name, buffer in half.text_encoder.named_buffers():
        assert buffer.dtype == torch.float32, name
        assert torch.equal(buffer, exact[name]), name
