"""What decides which rows a model can render, and how much of it a reference tells before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from workers import demo
from workers.families import FAMILIES
from workers.families.base import Defaults, Family
from workers.reference import ModelReference


@dataclass(frozen=True)
class ModelTraits:
    """What a model takes.

    `size_multiple` in pixels, `sizes` the only (width, height) it draws, empty where it draws any multiple;
    `parameters` are the names a row's `params` may use, None where they are not known yet; `columns` the optional
    manifest columns that mean something to the pipeline; `min_images` and `max_images` limit a row's reference images.
    """

    pipeline: str
    family: str | None
    defaults: Defaults
    size_multiple: int
    sizes: tuple[tuple[int, int], ...]
    parameters: frozenset[str] | None
    columns: frozenset[str]
    min_images: int
    max_images: int | None


def defaults_of(reference: ModelReference, family: Family) -> Defaults:
    """What rows of this model get that name nothing else."""
    return {"tiny": family.tiny_defaults, "demo": demo.DEFAULTS}.get(reference.kind, family.defaults)


def sizes_of(reference: ModelReference, family: Family) -> tuple[tuple[int, int], ...]:
    """The only (width, height) that this model draws; empty where it draws any multiple."""
    return demo.SIZES if reference.kind == "demo" else family.sizes


def foreseen_traits(reference: ModelReference) -> ModelTraits | None:
    """The traits of a model that is made here or ships inside; None for a saved one, which must be looked at."""
    if reference.kind not in ("demo", "tiny", "random"):
        return None
    family = FAMILIES["flux.1-dev" if reference.kind == "demo" else reference.name]
    min_images, max_images = family.image_limits(None)
    return ModelTraits(
        pipeline=family.pipelines[0],
        family=family.name,
        defaults=defaults_of(reference, family),
        size_multiple=family.built_multiple,
        sizes=sizes_of(reference, family),
        parameters=None,
        columns=family.columns,
        min_images=min_images,
        max_images=max_images,
    )
