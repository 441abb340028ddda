"""Pipelines that no file of ours names, at toy size, from local folders.

Stable Diffusion XL has a UNet; PixArt-Sigma's call knows no `callback_on_step_end`.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from manifests.row import Row
from tests.conftest import read_table
from tests.rows import lease_of, make_row
from tests.workers.conftest import started_worker
from workers.families.tokenizers import clip_tokenizer, t5_tokenizer
from workers.worker import Worker


def text_encoder(kind: Any) -> Any:
    tokenizer = clip_tokenizer()
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            projection_dim=32, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, max_position_embeddings=77,
        )
    )  # fmt: skip


def vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=4, layers_per_block=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved pipeline."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=8, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, transformer_layers_per_block=(1, 2), cross_attention_dim=64, norm_num_groups=4,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )  # fmt: skip
    pipe = StableDiffusionXLPipeline(
        vae=vae(), unet=unet, text_encoder=text_encoder(CLIPTextModel), tokenizer=clip_tokenizer(),
        text_encoder_2=text_encoder(CLIPTextModelWithProjection), tokenizer_2=clip_tokenizer(),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("sdxl")
    pipe.save_pretrained(path)
    return path


def rendered(worker: Worker, row: Row, out: Path) -> dict[str, Any]:
    """The images row of a row rendered alone."""
    assert worker.render(lease_of(row)).done == (0,)
    for table in ("images", "steps"):
        (out / table).mkdir()
        for path in (out / "_staging").glob(f"{table}-*"):
            path.rename(out / table / path.name)
    [image] = read_table(out, "images")
    return image


def test_it_renders_what_its_own_call_draws(folder: Path, tmp_path: Path) -> None:
    worker = started_worker(tmp_path, model=str(folder))
    row = make_row(steps=3, seed=5, negative_prompt="ugly", guidance_scale=5.0)
    image = rendered(worker, row, tmp_path)
    plain = StableDiffusionXLPipeline.from_pretrained(folder)
    plain.set_progress_bar_config(disable=True)
    expected = plain(
        row.prompt, negative_prompt="ugly", width=64, height=64, num_inference_steps=3, guidance_scale=5.0,
        generator=torch.Generator().manual_seed(5),
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(BytesIO(image["image"]["bytes"]))), np.asarray(expected))
    assert image["steps"] == 3 and image["attention_backend"] == "sdpa-flash" and image["prepare_ms"] > 0


def test_steps_are_told_without_a_callback(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    t5 = T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    transformer = PixArtTransformer2DModel(
        sample_size=8, num_layers=2, attention_head_dim=8, num_attention_heads=2, caption_channels=32, in_channels=4,
        out_channels=8, cross_attention_dim=16, use_additional_conditions=False,
    )  # fmt: skip
    pipe = PixArtSigmaPipeline(
        tokenizer=tokenizer, text_encoder=T5EncoderModel(t5), vae=vae(), transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(),
    )  # fmt: skip
    pipe.save_pretrained(tmp_path / "pixart")
    row = make_row(steps=3, seed=5, guidance_scale=4.5, params={"use_resolution_binning": False})
    worker = started_worker(tmp_path, model=str(tmp_path / "pixart"))
    image = rendered(worker, row, tmp_path)
    plain = PixArtSigmaPipeline.from_pretrained(tmp_path / "pixart")
    plain.set_progress_bar_config(disable=True)
    expected = plain(
        row.prompt, width=64, height=64, num_inference_steps=3, use_resolution_binning=False,
        generator=torch.Generator().manual_seed(5),
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(BytesIO(image["image"]["bytes"]))), np.asarray(expected))
    steps = sorted(read_table(tmp_path, "steps"), key=lambda row: row["step"])
    assert [row["step"] for row in steps] == [0, 1, 2] and all(row["step_ms"] > 0 for row in steps)
    assert [row["timestep"] for row in steps] == plain.scheduler.timesteps.tolist()
