"""What renderay must know of a model family, and the answers that hold for any diffusers pipeline.

A family says which defaults its authors recommend, how prompts become embeddings, how latents become pictures and how
to build the pipeline at toy and at full size without a download. Everything else is read off the pipeline itself.

Tensor shapes: B batch, C channels, H and W pixels, L tokens, D embedding width.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Embeddings = dict[str, "torch.Tensor"]  # pipeline argument -> tensor whose first axis is B


@dataclass(frozen=True)
class Defaults:
    """What a row gets that names nothing else; None leaves the matter to the pipeline.

    width and height in pixels, steps in denoising steps, scales without unit.
    """

    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    true_cfg_scale: float | None = None
    negative_prompt: str | None = None


class Family:
    """A model family. Subclasses override what differs; the methods take the loaded pipeline as first argument."""

    name: str = ""
    pipelines: tuple[str, ...] = ()
    defaults = Defaults()
    tiny_defaults = Defaults()
    text_only_params: frozenset[str] = frozenset({"prompt_2", "negative_prompt_2"})

    def size_multiple(self, pipe: Any) -> int:
        """Width and height must be multiples of this many pixels."""
        raise NotImplementedError

    def encode(self, pipe: Any, prompt: str, negative_prompt: str | None, params: Mapping[str, Any]) -> Embeddings:
        """Embed one prompt (and its negative): pipeline arguments with B = 1."""
        raise NotImplementedError

    def decode(self, pipe: Any, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Latents as the pipeline's `output_type="latent"` returns them -> (B, C, H, W) in about [-1, 1]."""
        raise NotImplementedError

    def build(self, size: str) -> Any:
        """The pipeline with random weights; `size` is "tiny" or "full".

        Made on torch's default device in its default dtype, from its current random state.
        """
        raise NotImplementedError

    def denoisers(self, pipe: Any) -> list[torch.nn.Module]:
        """The modules whose forward calls are the denoising steps."""
        names = ("transformer", "transformer_2", "unet")
        return [module for name in names if (module := getattr(pipe, name, None)) is not None]


def accepted(function: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `params` that `function` takes by name."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in params.items() if name in names}
