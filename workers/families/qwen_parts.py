"""What the Qwen-Image families share: the components, how prompts become embeddings, how latents become pictures.

Sizes are the published config files of Qwen/Qwen-Image and, for the text encoder, Qwen/Qwen2.5-VL-7B-Instruct.

Tensor shapes: B batch, L text tokens, D text width, S latent tokens, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.families.base import Embeddings, to_unit_range

if TYPE_CHECKING:
    import torch

_TEXT: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "mrope_section": (2, 3, 3),  # adds up to half the head size
    },
    "full": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "mrope_section": (16, 24, 24),
        "vocab_size": 152064,
    },
}
_VISION: dict[str, dict[str, Any]] = {
    "tiny": {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "fullatt_block_indexes": (1,)},
    "full": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "fullatt_block_indexes": (7, 15, 23, 31),
    },
}
_VAE: dict[str, dict[str, Any]] = {
    "tiny": {"base_dim": 8, "num_res_blocks": 1},
    "full": {"base_dim": 96, "num_res_blocks": 2},
}
_TRANSFORMER: dict[str, dict[str, Any]] = {
    "tiny": {
        "num_layers": 2,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "axes_dims_rope": (4, 6, 6),  # adds up to the head size
        "joint_attention_dim": 32,
    },
    "full": {
        "num_layers": 60,
        "num_attention_heads": 24,
        "attention_head_dim": 128,
        "axes_dims_rope": (16, 56, 56),
        "joint_attention_dim": 3584,
    },
}


def qwen2_vl_text_encoder(size: str, tokenizer: Any) -> Any:
    """Qwen2.5-VL, vision tower included, that reads `tokenizer`'s ids (its vocabulary too if tiny)."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {"vocab_size": len(tokenizer), **_TEXT[size]}
    sections = list(text.pop("mrope_section"))
    config = Qwen2_5_VLConfig(
        text_config={
            **text,
            "max_position_embeddings": 128000,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections},
            "bos_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        },
        vision_config={**_VISION[size], "out_hidden_size": text["hidden_size"], "tokens_per_second": 2},
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def qwen_vae(size: str) -> Any:
    """The 16-channel, 8 times smaller autoencoder with Qwen-Image's own latent statistics."""
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(**_VAE[size])


def qwen_transformer(size: str, **changes: Any) -> Any:
    """Qwen-Image's denoiser; `changes` are further config entries, as `zero_cond_t=True` of Edit-2511."""
    from diffusers import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(**_TRANSFORMER[size], **changes)


def qwen_scheduler() -> Any:
    """Flow matching, shifted by the number of latent tokens."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=0.9,
        max_image_seq_len=8192,
        shift_terminal=0.02,
    )


def named_embeddings(prefix: str, embeds: torch.Tensor, mask: torch.Tensor | None) -> Embeddings:
    """What `encode_prompt` returned, (B, L, D) and (B, L), as the call's arguments; `prefix` is "" or "negative_".

    A mask that hides nothing comes back as None. The call wants one all the same (it warns otherwise), and drops it.
    """
    if mask is None:
        mask = embeds.new_ones(embeds.shape[:2], dtype=int)
    return {f"{prefix}prompt_embeds": embeds, f"{prefix}prompt_embeds_mask": mask}


def token_lengths(embeddings: Embeddings) -> tuple[int, int]:
    """How many tokens prompt and negative prompt have (0: no negative prompt).

    Equal lengths need no padding in a batch, so no attention mask: most fast kernels refuse one.
    """
    negative = embeddings.get("negative_prompt_embeds")
    return embeddings["prompt_embeds"].shape[1], 0 if negative is None else negative.shape[1]


def decode_latents(pipe: Any, output: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Packed latents (B, S, C) -> (B, 3, H, W) in [0, 1], with the arithmetic of the pipelines' own call."""
    import torch

    vae = pipe.vae
    latents = pipe._unpack_latents(output, height, width, pipe.vae_scale_factor).to(vae.dtype)  # (B, C, 1, H/8, W/8)

    def statistic(values: list[float]) -> torch.Tensor:
        return torch.tensor(values).view(1, vae.config.z_dim, 1, 1, 1)

    mean = statistic(vae.config.latents_mean).to(latents.device, latents.dtype)
    inverse_std = 1.0 / statistic(vae.config.latents_std).to(latents.device, latents.dtype)
    latents = latents / inverse_std + mean
    return to_unit_range(vae.decode(latents, return_dict=False)[0][:, :, 0])
