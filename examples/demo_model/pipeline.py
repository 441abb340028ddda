"""The components' sizes, and the FluxPipeline folder that they make: less than 10 MB in bfloat16."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from examples.demo_model.words import MAX_TOKENS, capitals, caption_words, clip_tokenizer, t5_tokenizer

LATENT_CHANNELS = 4
MAX_BYTES = 10_000_000
PIXELS = 128
_VAE_CHANNELS = (16, 32, 64)
LATENT_SIDE = PIXELS // 2 ** (len(_VAE_CHANNELS) - 1)  # 32
PACKED_SIDE = LATENT_SIDE // 2  # 16: 256 image tokens
_TRANSFORMER = {
    "num_layers": 1,
    "num_single_layers": 6,
    "num_attention_heads": 5,
    "attention_head_dim": 32,
    "joint_attention_dim": 128,
    "pooled_projection_dim": 48,
    "axes_dims_rope": (8, 12, 12),
    "in_channels": LATENT_CHANNELS * 4,
    "guidance_embeds": True,
}
_CLIP = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": MAX_TOKENS,
}
_T5 = {
    "d_model": 128,
    "d_kv": 32,
    "d_ff": 160,
    "num_layers": 3,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
}


def build() -> Any:
    """A FluxPipeline with random weights from torch's current random state."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    words = caption_words()
    tokenizer, tokenizer_2 = clip_tokenizer(words), t5_tokenizer(words)
    clip = CLIPTextConfig(
        **_CLIP,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    transformer = FluxTransformer2DModel(**_TRANSFORMER)
    vae = AutoencoderKL(
        block_out_channels=_VAE_CHANNELS,
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * len(_VAE_CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(_VAE_CHANNELS),
        latent_channels=LATENT_CHANNELS,
        sample_size=PIXELS,
        shift_factor=0.0,
        scaling_factor=1.0,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    t5 = T5EncoderModel(T5Config(**_T5, vocab_size=len(tokenizer_2)))
    _start_as_identity(transformer, vae)
    _start_with_neighbours(t5)
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae,
        text_encoder=CLIPTextModel(clip),
        tokenizer=tokenizer,
        text_encoder_2=t5,
        tokenizer_2=tokenizer_2,
        transformer=transformer,
    )


@torch.no_grad()
def _start_as_identity(transformer: torch.nn.Module, vae: torch.nn.Module) -> None:
    """Residual branches begin at zero: the transformer's modulations and last projection (adaLN-Zero, Peebles and Xie
    2022, which diffusers leaves out), and the last convolution of the autoencoder's ResNet blocks."""
    for name, parameter in transformer.named_parameters():
        if (".linear." in name and "norm" in name) or name.startswith("proj_out"):
            parameter.zero_()
    for name, parameter in vae.named_parameters():
        if name.endswith("conv2.weight"):
            parameter.zero_()


@torch.no_grad()
def _start_with_neighbours(t5: Any) -> None:
    """T5's heads begin by looking back one word, ahead one, back up to four, ahead up to four.

    The relative position bias is all that tells T5 the order of words. At its usual start it is so small that content
    alone settles whom a word looks at, and training ended with a bag of words: no colour knew its shape.
    """
    attention = t5.encoder.block[0].layer[0].SelfAttention
    bias, half = attention.relative_attention_bias.weight, attention.relative_attention_num_buckets // 2
    bias.zero_()  # row k: k words back; row half + k: k words ahead
    bias[1, 0] = bias[half + 1, 1] = 4.0
    bias[1:5, 2] = bias[half + 1 : half + 5, 3] = 2.8


def trained_parts(pipe: Any) -> torch.nn.ModuleDict:
    """What flow matching trains; the autoencoder is not among it."""
    names = ("text_encoder", "text_encoder_2", "transformer")
    return torch.nn.ModuleDict({name: getattr(pipe, name) for name in names})


def copy_of(pipe: Any, device: str, dtype: torch.dtype) -> Any:
    """Uncompiled, in eval mode; tokenizers and scheduler are shared."""
    parts = dict(pipe.components)
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            parts[name] = torch.nn.Module.to(copy.deepcopy(part), device, dtype).eval()  # diffusers' own `to` warns
    return type(pipe)(**parts)


@torch.no_grad()
def _level_capitals(pipe: Any) -> None:
    """Captions capitalise their first word alone, so most capitals were hardly seen: each means the small word."""
    rows = pipe.text_encoder_2.get_input_embeddings().weight
    pairs = capitals(pipe.tokenizer_2, caption_words())
    rows[list(pairs)] = rows[list(pairs.values())]


def save(pipe: Any, folder: Path) -> int:
    """Write a bfloat16 copy as a pipeline folder; its size in bytes. ValueError where it is too large to ship."""
    copied = copy_of(pipe, "cpu", torch.bfloat16)
    _level_capitals(copied)
    copied.save_pretrained(folder, safe_serialization=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_BYTES:
        raise ValueError(f"{folder}: {size} bytes, at most {MAX_BYTES}; make a component smaller")
    return size
