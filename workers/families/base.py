"""What renderay must know of a model family, and the answers that hold for any diffusers pipeline.

`Family` itself serves pipelines that no file here names: prompts go to the pipeline's own call as text, pictures come
back from it. A family with a file of its own says which defaults its authors recommend, how prompts become embeddings
(so that they are made once), how latents become pictures, and how to build the pipeline without a download.

Tensor shapes: B batch, C channels, H and W pixels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manifests.validate import OPTIONAL

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Embeddings = dict[str, "torch.Tensor"]  # pipeline argument -> tensor whose first axis is B
Settle = Callable[[str, Any], Any]  # a component's name and the component -> the component, where and as it is kept
TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


def as_made(name: str, component: Any) -> Any:
    """A component stays as it was built."""
    return component


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
    """A model family; as it stands, any diffusers pipeline. The methods take the loaded pipeline first.

    `output_type` is what the pipeline's call is asked for, `max_batch` the most pictures it takes at once (None: any),
    `text_only_params` the arguments that `encode` uses up; `encodes_apart` says that `encode` alone needs the text
    encoders (TEXT_ENCODERS). `sizes` are the only ones that it draws, (width, height) in pixels; empty: any multiple.

    Of the pipelines that `build` makes, known before one is made: `built_multiple` is their `size_multiple`, `columns`
    are the optional manifest columns that their call has an argument for.
    """

    name: str = ""
    pipelines: tuple[str, ...] = ()
    defaults = Defaults()
    tiny_defaults = Defaults()
    output_type = "pt"
    max_batch: int | None = None
    text_only_params: frozenset[str] = frozenset()
    encodes_apart = False
    sizes: tuple[tuple[int, int], ...] = ()
    built_multiple = 16
    columns: frozenset[str] = OPTIONAL

    def size_multiple(self, pipe: Any) -> int:
        """Width and height must be multiples of this many pixels."""
        config = getattr(getattr(pipe, "image_processor", None), "config", {})
        return int(config.get("vae_scale_factor", 8))

    def image_limits(self, pipe: Any) -> tuple[int, int | None]:
        """How few and how many reference images a row gives; None means any number."""
        parameter = inspect.signature(type(pipe).__call__).parameters.get("image")
        if parameter is None:
            return 0, 0
        return (1 if parameter.default is inspect.Parameter.empty else 0), 1

    def size(
        self, pipe: Any, height: int | None, width: int | None, images: Sequence[Image]
    ) -> tuple[int | None, int | None]:
        """Height and width to ask the pipeline for, given what the row says; None leaves it to the pipeline."""
        return height, width

    def encode(
        self,
        pipe: Any,
        prompt: str,
        negative_prompt: str | None,
        images: Sequence[Image],
        params: Mapping[str, Any],
    ) -> Embeddings:
        """Embed one row's prompt (and its negative, and what the text encoder sees of its images): B = 1.

        Called without gradients. The result replaces `prompt` and `negative_prompt` in the pipeline's call.
        """
        return {}

    def length(self, embeddings: Embeddings) -> Hashable:
        """Which pictures may share a call: those of equal length."""
        return None

    def arguments(
        self, pipe: Any, prompts: Sequence[str], negative_prompts: Sequence[str | None], images: Sequence[Image]
    ) -> dict[str, Any]:
        """What the pipeline's call gets besides embeddings, size, steps, scales and generators.

        `images` are those of the row; pictures with images are batches of their own.
        """
        found: dict[str, Any] = {"prompt": list(prompts)}
        if all(negative is not None for negative in negative_prompts):
            found["negative_prompt"] = list(negative_prompts)
        if images:
            found["image"] = images[0] if len(images) == 1 else list(images)
        return found

    def calling(self, pipe: Any) -> AbstractContextManager[None]:
        """Around the pipeline's call."""
        return nullcontext()

    def loaded_apart(self, folder: str) -> dict[str, Any]:
        """Components of a saved pipeline that its own loader cannot load here, loaded; put in once the rest is."""
        return {}

    def decode(self, pipe: Any, output: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """What the call returned for `output_type` -> (B, C, H, W) in [0, 1]."""
        return output

    def build(self, size: str, settle: Settle = as_made) -> Any:
        """The pipeline with random weights; `size` is "tiny" or "full".

        Made on torch's default device in its default dtype, from its current random state. Each component with weights
        is settled before the next is made, so that they need not all fit where they are made.
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


def to_unit_range(image: torch.Tensor) -> torch.Tensor:
    """A VAE's output in about [-1, 1] -> [0, 1], with the arithmetic of diffusers' VaeImageProcessor."""
    return (image * 0.5 + 0.5).clamp(0, 1)
