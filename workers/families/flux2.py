"""FLUX.2-dev: a guidance-distilled flow transformer, Mistral Small 3.1 as text encoder, a 32-channel VAE.

Defaults are those of the model card (black-forest-labs/FLUX.2-dev) and of the pipeline: 1024x1024, 50 steps, guidance
4.0. Reference images are optional; the transformer reads their latents next to the picture's own.

Tensor shapes: B batch, S latent tokens (one for 16 by 16 pixels), C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from manifests.validate import OPTIONAL
from workers.families.base import Defaults, Embeddings, Family, Settle, accepted, as_made, to_unit_range
from workers.families.tokenizers import mistral_tokenizer

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_MAX_IMAGES = 10  # what the authors trained it for
_TOKEN_PIXELS = 16

_SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {
        "transformer": {
            "num_layers": 1,
            "num_single_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "joint_attention_dim": 96,
            "axes_dims_rope": (4, 4, 4, 4),
        },
        "text": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 30,  # the prompt's embedding is made of hidden states 10, 20 and 30
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
        },
        "vision": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "head_dim": 16,
        },
        "vae": {"block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4},
    },
    # the published config files of the components
    "full": {
        "transformer": {
            "num_layers": 8,
            "num_single_layers": 48,
            "num_attention_heads": 48,
            "attention_head_dim": 128,
            "joint_attention_dim": 15360,
            "axes_dims_rope": (32, 32, 32, 32),
        },
        "text": {
            "hidden_size": 5120,
            "intermediate_size": 32768,
            "num_hidden_layers": 40,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 131072,
        },
        "vision": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "head_dim": 64,
        },
        "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "norm_num_groups": 32},
    },
}


class Flux2(Family):
    """black-forest-labs/FLUX.2-dev and every other pipeline of class Flux2Pipeline."""

    name = "flux.2-dev"
    pipelines = ("Flux2Pipeline",)
    defaults = Defaults(width=1024, height=1024, steps=50, guidance_scale=4.0)
    tiny_defaults = Defaults(width=64, height=64, steps=4, guidance_scale=4.0)
    output_type = "latent"
    encodes_apart = True
    columns = OPTIONAL - {"true_cfg_scale", "negative_prompt"}
    text_only_params = frozenset({"caption_upsample_temperature"})

    def image_limits(self, pipe: Any) -> tuple[int, int | None]:
        return 0, _MAX_IMAGES

    def encode(
        self,
        pipe: Any,
        prompt: str,
        negative_prompt: str | None,
        images: Sequence[Image],
        params: Mapping[str, Any],
    ) -> Embeddings:
        if temperature := params.get("caption_upsample_temperature"):
            prompt = _upsampled(pipe, prompt, images, temperature)
        embeds, _ = pipe.encode_prompt(prompt=prompt, **accepted(pipe.encode_prompt, params))
        return {"prompt_embeds": embeds}

    def length(self, embeddings: Embeddings) -> Hashable:
        # prompts are padded to `max_sequence_length`, so lengths differ only where rows set that
        return embeddings["prompt_embeds"].shape[1:]

    def arguments(
        self, pipe: Any, prompts: Sequence[str], negative_prompts: Sequence[str | None], images: Sequence[Image]
    ) -> dict[str, Any]:
        return {"image": list(images)} if images else {}

    def decode(self, pipe: Any, output: torch.Tensor, height: int, width: int) -> torch.Tensor:
        import torch

        vae = pipe.vae
        grid = output.new_empty(len(output), 1, height // _TOKEN_PIXELS, width // _TOKEN_PIXELS)
        positions = pipe._prepare_latent_ids(grid).to(output.device)  # (B, S, 4)
        latents = pipe._unpack_latents_with_ids(output, positions)  # (B, 4 C, H/16, W/16)
        mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents.device, latents.dtype)
        variance = vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps
        latents = latents * torch.sqrt(variance).to(latents.device, latents.dtype) + mean
        latents = pipe._unpatchify_latents(latents).to(vae.device)  # (B, C, H/8, W/8)
        return to_unit_range(vae.decode(latents, return_dict=False)[0])

    def loaded_apart(self, folder: str) -> dict[str, Any]:
        """The tokenizer alone, all that encoding needs, where its published processor lacks torchvision to load."""
        from transformers import AutoTokenizer
        from transformers.utils import is_torchvision_available

        return {} if is_torchvision_available() else {"tokenizer": AutoTokenizer.from_pretrained(f"{folder}/tokenizer")}

    def build(self, size: str, settle: Settle = as_made) -> Any:
        from diffusers import (
            AutoencoderKLFlux2,
            FlowMatchEulerDiscreteScheduler,
            Flux2Pipeline,
            Flux2Transformer2DModel,
        )
        from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

        config = _SIZES[size]
        tokenizer = mistral_tokenizer(SYSTEM_MESSAGE)
        return Flux2Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
            vae=settle("vae", AutoencoderKLFlux2(**config["vae"])),
            text_encoder=settle("text_encoder", _text_encoder(config["text"], config["vision"], tokenizer)),
            tokenizer=tokenizer,
            transformer=settle("transformer", Flux2Transformer2DModel(**config["transformer"])),
        )


def _upsampled(pipe: Any, prompt: str, images: Sequence[Image], temperature: float) -> str:
    """The prompt as the text encoder rewrites it; sampled, but the same prompt always becomes the same text."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return pipe.upsample_prompt(prompt, images=list(images) or None, temperature=temperature)[0]


def _text_encoder(text: dict[str, Any], vision: dict[str, Any], tokenizer: Any) -> Any:
    """Mistral Small 3.1 with its vision tower; reads `tokenizer`'s ids (at toy size it has no others)."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    config = Mistral3Config(
        text_config={
            "vocab_size": len(tokenizer),
            **text,
            "model_type": "mistral",
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e9},
            "sliding_window": None,
            "tie_word_embeddings": False,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            **vision,
            "model_type": "pixtral",
            "image_size": 1540,
            "patch_size": 14,
            "hidden_act": "silu",
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        },
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        tie_word_embeddings=False,
    )
    return Mistral3ForConditionalGeneration(config)
