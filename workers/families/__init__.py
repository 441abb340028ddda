"""Model families: one small file each.

    base.py             what must be known of a family, and `Family`, which serves any diffusers pipeline
    flux1.py            FLUX.1-dev
    flux2.py            FLUX.2-dev
    qwen_image.py       Qwen-Image
    qwen_image_edit.py  Qwen-Image-Edit-2511
    qwen_parts.py       the components that the two share
    tokenizers.py       small genuine tokenizers for pipelines that are built without a download

Rule: a family never times, batches or writes; it only translates between rows and its pipeline.
"""

from __future__ import annotations

from workers.families.base import Defaults, Embeddings, Family
from workers.families.flux1 import Flux1
from workers.families.flux2 import Flux2
from workers.families.qwen_image import QwenImage
from workers.families.qwen_image_edit import QwenImageEdit

FAMILIES: dict[str, Family] = {family.name: family for family in (Flux1(), Flux2(), QwenImage(), QwenImageEdit())}

__all__ = ["FAMILIES", "Defaults", "Embeddings", "Family", "family_of"]


def family_of(pipeline_class: str) -> Family:
    """The family that serves pipelines of this class name; `Family` itself where no file names it."""
    return next((family for family in FAMILIES.values() if pipeline_class in family.pipelines), Family())
