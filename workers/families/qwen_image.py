"""Qwen-Image: a flow transformer with true classifier-free guidance, Qwen2.5-VL as text encoder, a 16-channel VAE.

Defaults are those of the model card (Qwen/Qwen-Image): 50 steps, true CFG 4.0 against the negative prompt " " (two
forwards a step; without a negative prompt the pipeline guides nothing). 1024x1024 is the pipeline's size.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workers.families.base import Defaults, Embeddings, Family, Settle, accepted, as_made
from workers.families.qwen_parts import (
    decode_latents,
    named_embeddings,
    qwen2_vl_text_encoder,
    qwen_scheduler,
    qwen_transformer,
    qwen_vae,
    token_lengths,
)
from workers.families.tokenizers import qwen2_tokenizer

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


class QwenImage(Family):
    """Qwen/Qwen-Image and every other pipeline of class QwenImagePipeline."""

    name = "qwen-image"
    pipelines = ("QwenImagePipeline",)
    defaults = Defaults(width=1024, height=1024, steps=50, true_cfg_scale=4.0, negative_prompt=" ")
    tiny_defaults = Defaults(width=64, height=64, steps=4, true_cfg_scale=4.0, negative_prompt=" ")
    output_type = "latent"
    encodes_apart = True

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
        own = accepted(pipe.encode_prompt, params) | self.read_beside_prompt(pipe, images)
        found = named_embeddings("", *pipe.encode_prompt(prompt=prompt, **own))
        if negative_prompt is not None:
            found |= named_embeddings("negative_", *pipe.encode_prompt(prompt=negative_prompt, **own))
        return found

    def read_beside_prompt(self, pipe: Any, images: Sequence[Image]) -> dict[str, Any]:
        """Further arguments of `encode_prompt`: what Qwen2.5-VL sees besides the text."""
        return {}

    def length(self, embeddings: Embeddings) -> Hashable:
        return token_lengths(embeddings)

    def arguments(
        self, pipe: Any, prompts: Sequence[str], negative_prompts: Sequence[str | None], images: Sequence[Image]
    ) -> dict[str, Any]:
        return {}

    def decode(self, pipe: Any, output: torch.Tensor, height: int, width: int) -> torch.Tensor:
        return decode_latents(pipe, output, height, width)

    def build(self, size: str, settle: Settle = as_made) -> Any:
        from diffusers import QwenImagePipeline

        tokenizer = qwen2_tokenizer()
        return QwenImagePipeline(
            scheduler=qwen_scheduler(),
            vae=settle("vae", qwen_vae(size)),
            text_encoder=settle("text_encoder", qwen2_vl_text_encoder(size, tokenizer)),
            tokenizer=tokenizer,
            transformer=settle("transformer", qwen_transformer(size)),
        )
