"""FLUX.1-dev: a guidance-distilled flow transformer, CLIP pooled + T5 token embeddings, a 16-channel VAE.

Defaults are those of the model card (black-forest-labs/FLUX.1-dev): 1024x1024, 50 steps, guidance 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workers.families.base import Defaults, Embeddings, Family, Settle, accepted, as_made, to_unit_range
from workers.families.tokenizers import clip_tokenizer, t5_tokenizer

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_MAX_TOKENS = 512  # of T5; a model whose tokenizer says less gets less
_SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {
        "transformer": {
            "num_layers": 1,
            "num_single_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 32,
            "axes_dims_rope": (4, 6, 6),
        },
        "clip": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
        "t5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
        "vae": {"block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4},
    },
    # the published config files of the components
    "full": {
        "transformer": {
            "num_layers": 19,
            "num_single_layers": 38,
            "num_attention_heads": 24,
            "attention_head_dim": 128,
            "joint_attention_dim": 4096,
            "pooled_projection_dim": 768,
            "axes_dims_rope": (16, 56, 56),
        },
        "clip": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "vocab_size": 49408,
        },
        "t5": {
            "d_model": 4096,
            "d_kv": 64,
            "d_ff": 10240,
            "num_layers": 24,
            "num_heads": 64,
            "vocab_size": 32128,
        },
        "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "norm_num_groups": 32},
    },
}


class Flux1(Family):
    """black-forest-labs/FLUX.1-dev and every other pipeline of class FluxPipeline."""

    name = "flux.1-dev"
    pipelines = ("FluxPipeline",)
    defaults = Defaults(width=1024, height=1024, steps=50, guidance_scale=3.5)
    tiny_defaults = Defaults(width=64, height=64, steps=4, guidance_scale=3.5)
    output_type = "latent"
    encodes_apart = True
    text_only_params = frozenset({"prompt_2", "negative_prompt_2"})

    def image_limits(self, pipe: Any) -> tuple[int, int | None]:
        return 0, 0

    def encode(
        self,
        pipe: Any,
        prompt: str,
        negative_prompt: str | None,
        images: Sequence[Image],
        params: Mapping[str, Any],
    ) -> Embeddings:
        own = accepted(pipe.encode_prompt, params)
        own.setdefault("max_sequence_length", min(_MAX_TOKENS, pipe.tokenizer_2.model_max_length))
        if own["max_sequence_length"] > _MAX_TOKENS:  # the pipeline checks it after this
            raise ValueError(f"max_sequence_length {own['max_sequence_length']}: at most {_MAX_TOKENS}")
        embeds, pooled, _ = pipe.encode_prompt(prompt=prompt, **{"prompt_2": None, **own})
        found = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
        if negative_prompt is not None:
            own["prompt_2"] = params.get("negative_prompt_2")
            embeds, pooled, _ = pipe.encode_prompt(prompt=negative_prompt, **own)
            found |= {"negative_prompt_embeds": embeds, "negative_pooled_prompt_embeds": pooled}
        return found

    def arguments(
        self, pipe: Any, prompts: Sequence[str], negative_prompts: Sequence[str | None], images: Sequence[Image]
    ) -> dict[str, Any]:
        return {}

    def decode(self, pipe: Any, output: torch.Tensor, height: int, width: int) -> torch.Tensor:
        latents = pipe._unpack_latents(output, height, width, pipe.vae_scale_factor)
        latents = (latents / pipe.vae.config.scaling_factor) + pipe.vae.config.shift_factor
        return to_unit_range(pipe.vae.decode(latents, return_dict=False)[0])

    def build(self, size: str, settle: Settle = as_made) -> Any:
        from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
        from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

        config = _SIZES[size]
        tokenizer, tokenizer_2 = clip_tokenizer(), t5_tokenizer()
        clip = CLIPTextConfig(
            **{"vocab_size": len(tokenizer), **config["clip"]},
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            max_position_embeddings=77,
        )
        t5 = T5Config(**{"vocab_size": len(tokenizer_2), **config["t5"]}, feed_forward_proj="gated-gelu")
        channels = config["vae"]["block_out_channels"]
        vae = {
            **config["vae"],
            "down_block_types": ("DownEncoderBlock2D",) * len(channels),
            "up_block_types": ("UpDecoderBlock2D",) * len(channels),
            "latent_channels": 16,
            "scaling_factor": 0.3611,
            "shift_factor": 0.1159,
            "use_quant_conv": False,
            "use_post_quant_conv": False,
        }
        return FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
            vae=settle("vae", AutoencoderKL(**vae)),
            text_encoder=settle("text_encoder", CLIPTextModel(clip)),
            tokenizer=tokenizer,
            text_encoder_2=settle("text_encoder_2", T5EncoderModel(t5)),
            tokenizer_2=tokenizer_2,
            transformer=settle(
                "transformer", FluxTransformer2DModel(**config["transformer"], in_channels=64, guidance_embeds=True)
            ),
        )
