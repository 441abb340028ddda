"""Qwen-Image: renders what the pipeline's own call renders, at toy size; has the published size otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workers.families.qwen_image import QwenImage

FAMILY = QwenImage()
SHORT, LONG = "a red fox", "a lighthouse in a storm, oil on canvas, seen from a small boat 🚤"
LIKE_SHORT = "a red dog"  # as many tokens


@pytest.fixture(scope="module")
def pipe() -> Iterator[Any]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    built = FAMILY.build("tiny")
    built.set_progress_bar_config(disable=True)
    yield built
    torch.set_num_threads(before)


def call(height: int, width: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return {
        "height": height,
        "width": width,
        "num_inference_steps": 2,
        "true_cfg_scale": 4.0,
        "generator": generators[0] if len(seeds) == 1 else generators,
    }


def rendered(
    pipe: Any,
    prompts: list[str],
    height: int = 64,
    width: int = 64,
    seeds: tuple[int, ...] = (7,),
    negative: str | None = " ",
    **params: Any,
) -> np.ndarray:
    """Pictures as renderay makes them: (B, H, W, 3) bytes."""
    with torch.no_grad():
        found = [FAMILY.encode(pipe, prompt, negative, (), params) for prompt in prompts]
        assert len({FAMILY.length(one) for one in found}) == 1
        embeddings = {name: torch.cat([one[name] for one in found]) for name in found[0]}
        further = FAMILY.arguments(pipe, prompts, [negative] * len(prompts), ())
        output = pipe(**embeddings, **further, **call(height, width, seeds), output_type=FAMILY.output_type).images
        decoded = FAMILY.decode(pipe, output, height, width)
    return (decoded.permute(0, 2, 3, 1).float().numpy() * 255).round().astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 48)])
@pytest.mark.parametrize("prompt", [SHORT, LONG])
def test_equals_the_plain_call(pipe: Any, prompt: str, height: int, width: int) -> None:
    plain = np.asarray(pipe(prompt, negative_prompt=" ", **call(height, width, (7,))).images[0])
    ours = rendered(pipe, [prompt], height, width)[0]
    assert plain.shape == (height, width, 3)
    assert plain.std() > 5
    assert np.array_equal(ours, plain)


@pytest.mark.parametrize("negative", [None, "", "blurry, low quality"])
def test_other_negative_prompts_equal_the_plain_call(pipe: Any, negative: str | None) -> None:
    plain = np.asarray(pipe(SHORT, negative_prompt=negative, **call(64, 64, (7,))).images[0])
    assert np.array_equal(rendered(pipe, [SHORT], negative=negative)[0], plain)
    assert not np.array_equal(rendered(pipe, [SHORT])[0], plain)


def test_prompts_matter_and_batches_agree_with_single_pictures(pipe: Any) -> None:
    both = rendered(pipe, [SHORT, LIKE_SHORT], seeds=(7, 8))
    single = np.concatenate([rendered(pipe, [SHORT], seeds=(7,)), rendered(pipe, [LIKE_SHORT], seeds=(8,))])
    assert np.abs(both.astype(int) - single).max() <= 1
    assert not np.array_equal(rendered(pipe, [SHORT]), rendered(pipe, [LIKE_SHORT]))


def test_no_mask_reaches_the_attention(pipe: Any) -> None:
    masks: list[Any] = []
    hook = pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: masks.append(kwargs["encoder_hidden_states_mask"]), with_kwargs=True
    )
    try:
        rendered(pipe, [SHORT, LIKE_SHORT], seeds=(7, 8))
    finally:
        hook.remove()
    assert masks == [None] * 4  # 2 steps, each with the prompt and with the negative prompt


def test_the_call_has_nothing_to_warn_of(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.pipelines.qwenimage import pipeline_qwenimage

    said: list[str] = []
    monkeypatch.setattr(pipeline_qwenimage.logger, "log", lambda *args, **kwargs: said.append(str(args)))
    monkeypatch.setattr(pipeline_qwenimage.logger, "warning", lambda *args, **kwargs: said.append(str(args)))
    rendered(pipe, [SHORT])
    assert said == []


def test_length_is_that_of_both_prompts(pipe: Any) -> None:
    def length(prompt: str, negative: str | None, **params: Any) -> Any:
        with torch.no_grad():
            return FAMILY.length(FAMILY.encode(pipe, prompt, negative, (), params))

    prompt, none = length(SHORT, None)
    assert none == 0
    assert length(LIKE_SHORT, None) == (prompt, 0)
    assert length(LONG, None)[0] > prompt
    assert length(SHORT, " ")[1] > 0
    assert length(LONG, " ", max_sequence_length=20)[0] == 20


def test_the_template_has_as_many_tokens_as_the_published_tokenizer_gives_it(pipe: Any) -> None:
    before_prompt = pipe.prompt_template_encode.split("{}")[0]
    assert len(pipe.tokenizer(before_prompt).input_ids) == pipe.prompt_template_encode_start_idx == 34
    anything = "Ein Fuchs, 狐, 🦊\n<|im_end|>"
    assert pipe.tokenizer.decode(pipe.tokenizer(anything).input_ids) == anything


def test_survives_saving_and_loading(pipe: Any, tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    pipe.save_pretrained(tmp_path)
    loaded = DiffusionPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is type(pipe)
    assert np.array_equal(rendered(loaded, [LONG]), rendered(pipe, [LONG]))


def test_half_precision_keeps_rotary_frequencies(pipe: Any) -> None:
    torch.set_default_dtype(torch.bfloat16)
    try:
        half = FAMILY.build("tiny")
    finally:
        torch.set_default_dtype(torch.float32)
    assert {parameter.dtype for parameter in half.transformer.parameters()} == {torch.bfloat16}
    assert torch.equal(half.transformer.pos_embed.pos_freqs, pipe.transformer.pos_embed.pos_freqs)
    exact = dict(pipe.text_encoder.named_buffers())
    for name, buffer in half.text_encoder.named_buffers():
        assert buffer.dtype == torch.float32, name
        assert torch.equal(buffer, exact[name]), name
