"""Qwen-Image-Edit (2509, 2511): Qwen-Image's transformer that also attends to the latents of one or more images.

Defaults are those of the model card (Qwen/Qwen-Image-Edit-2511): 40 steps, true CFG 4.0 against the negative prompt " "
(two forwards a step). The card also passes guidance_scale 1.0; the transformer has no guidance embedding, so the
pipeline ignores it, and a row that says nothing passes none. Without a size the picture has the aspect of the last
image and about 1024x1024 pixels.

Every reference is seen twice whatever its own size: by the VAE at about 1024x1024 pixels, by Qwen2.5-VL at about
384x384. Both numbers are globals of diffusers' module.

`build`: zero_cond_t (the images' tokens are modulated as at time 0) is in the published config of 2511 and not of 2509,
as public code that reads both says; the rest is Qwen-Image's. The 2511 files themselves could not be read from here.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workers.families.base import Defaults, Settle, as_made
from workers.families.qwen_image import QwenImage
from workers.families.qwen_parts import qwen2_vl_text_encoder, qwen_scheduler, qwen_transformer, qwen_vae
from workers.families.tokenizers import qwen2_tokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

_TINY_PIXELS = 64 * 64  # at which the tiny pipeline sees its references
_PROCESSOR_PIXELS = {  # what Qwen2.5-VL's image processor makes of an image, at least and at most
    "tiny": {"shortest_edge": 56 * 56, "longest_edge": _TINY_PIXELS},
    "full": {"shortest_edge": 56 * 56, "longest_edge": 12845056},
}


class QwenImageEdit(QwenImage):
    """Qwen/Qwen-Image-Edit-2511 and every other pipeline of class QwenImageEditPlusPipeline."""

    name = "qwen-image-edit-2511"
    pipelines = ("QwenImageEditPlusPipeline",)
    defaults = Defaults(steps=40, true_cfg_scale=4.0, negative_prompt=" ")
    tiny_defaults = Defaults(width=64, height=64, steps=4, true_cfg_scale=4.0, negative_prompt=" ")
    max_batch = 1

    def image_limits(self, pipe: Any) -> tuple[int, int | None]:
        """One or more; the authors recommend up to three, the pipeline takes any number."""
        return 1, None

    def size(
        self, pipe: Any, height: int | None, width: int | None, images: Sequence[Image]
    ) -> tuple[int | None, int | None]:
        """As the pipeline derives it, so that `decode` knows it too."""
        module = _module()
        its_width, its_height = module.calculate_dimensions(1024 * 1024, images[-1].width / images[-1].height)
        return height or its_height, width or its_width

    def read_beside_prompt(self, pipe: Any, images: Sequence[Image]) -> dict[str, Any]:
        return {"image": _condition_images(pipe, images)}

    def arguments(
        self, pipe: Any, prompts: Sequence[str], negative_prompts: Sequence[str | None], images: Sequence[Image]
    ) -> dict[str, Any]:
        return {"image": list(images)}

    @contextmanager
    def calling(self, pipe: Any) -> Iterator[None]:
        """Around the pipeline's call: a tiny pipeline sees its references at 64x64 pixels, any other as published.

        The numbers are process-wide while it lasts: one call at a time, as one render thread makes them.
        """
        module = _module()
        before = module.VAE_IMAGE_SIZE, module.CONDITION_IMAGE_SIZE
        if _is_tiny(pipe):
            module.VAE_IMAGE_SIZE = module.CONDITION_IMAGE_SIZE = _TINY_PIXELS
        try:
            yield
        finally:
            module.VAE_IMAGE_SIZE, module.CONDITION_IMAGE_SIZE = before

    def build(self, size: str, settle: Settle = as_made) -> Any:
        from diffusers import QwenImageEditPlusPipeline
        from transformers import Qwen2VLImageProcessorPil

        tokenizer = qwen2_tokenizer()
        return QwenImageEditPlusPipeline(
            scheduler=qwen_scheduler(),
            vae=settle("vae", qwen_vae(size)),
            text_encoder=settle("text_encoder", qwen2_vl_text_encoder(size, tokenizer)),
            tokenizer=tokenizer,
            processor=_processor(Qwen2VLImageProcessorPil(size=_PROCESSOR_PIXELS[size]), tokenizer),
            transformer=settle("transformer", qwen_transformer(size, zero_cond_t=True)),
        )

    def loaded_apart(self, folder: str) -> dict[str, Any]:
        """The processor where its video part, which editing never uses, needs torchvision or was not saved."""
        from transformers import AutoTokenizer, Qwen2VLImageProcessorPil
        from transformers.utils import is_torchvision_available

        saved = os.path.join(folder, "processor")
        if is_torchvision_available() and _has_video_part(saved):
            return {}
        images = Qwen2VLImageProcessorPil.from_pretrained(saved)
        return {"processor": _processor(images, AutoTokenizer.from_pretrained(saved))}


def _module() -> Any:
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus

    return pipeline_qwenimage_edit_plus


def _has_video_part(folder: str) -> bool:
    if os.path.exists(os.path.join(folder, "video_preprocessor_config.json")):
        return True
    try:
        with open(os.path.join(folder, "processor_config.json"), encoding="utf-8") as file:
            return "video_processor" in json.load(file)
    except FileNotFoundError:
        return True  # an older layout: its loader knows better


def _is_tiny(pipe: Any) -> bool:
    """Told by the processor's limit, which is saved and loaded with the pipeline."""
    return bool(pipe.processor.image_processor.size["longest_edge"] <= _TINY_PIXELS)


def _condition_images(pipe: Any, images: Sequence[Image]) -> list[Image]:
    """The images as Qwen2.5-VL gets them, with the arithmetic of the pipeline's own call."""
    module = _module()
    pixels = _TINY_PIXELS if _is_tiny(pipe) else module.CONDITION_IMAGE_SIZE
    found = []
    for image in images:
        width, height = module.calculate_dimensions(pixels, image.width / image.height)
        found.append(pipe.image_processor.resize(image, height, width))
    return found


def _processor(image_processor: Any, tokenizer: Any) -> Any:
    from transformers import Qwen2VLProcessor
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        from transformers import Qwen2VLVideoProcessor

        return Qwen2VLProcessor(image_processor, tokenizer, Qwen2VLVideoProcessor())
    return _processor_without_video()(image_processor, tokenizer)


@functools.cache
def _processor_without_video() -> Any:
    """Qwen2VLProcessor less its video part; transformers reads off the constructor's arguments what the parts are."""
    from transformers import Qwen2VLProcessor

    def init(self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        Qwen2VLProcessor.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    # under its own name, so that a saved pipeline names the class that its loader knows
    return type("Qwen2VLProcessor", (Qwen2VLProcessor,), {"__init__": init, "__module__": Qwen2VLProcessor.__module__})
