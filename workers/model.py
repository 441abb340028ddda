"""Load one pipeline for one worker, and describe it.

`load_model` is the only place where weights come from; `ModelFacts` is all that the rest of a job may know of a model,
plain values that travel to the driver, which never imports torch.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from manifests.errors import ModelError
from manifests.fields import RESERVED_PARAMS
from workers.families import FAMILIES, Family, family_of
from workers.families.base import Defaults
from workers.families.flux1 import DEMO_DEFAULTS
from workers.fingerprint import fingerprint_folder, fingerprint_random
from workers.lora import fingerprint_loras, merge_loras
from workers.reference import ModelReference, parse_model

if TYPE_CHECKING:
    import torch

VERSIONED = ("renderay", "torch", "diffusers", "transformers", "accelerate", "safetensors", "pillow", "pyarrow", "ray")
_RANDOM_SEED = 0
_COLUMNS = {  # optional manifest columns, and the pipeline argument that each becomes
    "width": "width",
    "height": "height",
    "steps": "num_inference_steps",
    "guidance_scale": "guidance_scale",
    "true_cfg_scale": "true_cfg_scale",
    "negative_prompt": "negative_prompt",
}


@dataclass(frozen=True)
class ModelFacts:
    """What a loaded pipeline is and takes.

    `size_multiple` in pixels; `parameters` are the names a row's `params` may use, `columns` the optional manifest
    columns that mean something to the pipeline; `max_batch` in pictures a call; `load_seconds` is wall time.
    """

    model: str
    revision: str | None
    fingerprint: str
    pipeline: str
    family: str | None
    dtype: str
    defaults: Defaults
    size_multiple: int
    parameters: frozenset[str]
    columns: frozenset[str]
    min_images: int
    max_images: int | None
    max_batch: int | None
    versions: dict[str, str]
    load_seconds: float


@dataclass(frozen=True)
class LoadedModel:
    """A pipeline resident on `device`, the family that serves it, and the facts about both."""

    pipe: Any
    family: Family
    facts: ModelFacts
    device: str


def load_model(text: str, device: str, dtype: str, loras: Sequence[str] = ()) -> LoadedModel:
    """Load what `--model` names onto `device` ("cpu", "cuda") with weights of `dtype` ("bfloat16", "float32", ...).

    `loras` are merged in, each as REF or REF:SCALE.

    Raises ModelError, one line, with the loader's own error as its cause.
    """
    _quieten_libraries()
    reference = parse_model(text)
    started = time.perf_counter()
    try:
        pipe, revision, fingerprint = _load(reference, device, dtype)
        merge_loras(pipe, loras)
    except ModelError:
        raise
    except Exception as error:  # whatever the loaders raise, the user's question is which model and why
        raise _cannot_load(text, error) from error
    family = family_of(type(pipe).__name__)
    pipe.set_progress_bar_config(disable=True)
    facts = _describe(reference, pipe, family, dtype)
    facts = replace(
        facts,
        revision=revision,
        fingerprint=fingerprint_loras(fingerprint, loras),
        load_seconds=time.perf_counter() - started,
    )
    return LoadedModel(pipe, family, facts, device)


def _quieten_libraries() -> None:
    """Notices of the libraries about themselves are not news to the user; their errors still come."""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")


def _cannot_load(text: str, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:600]
    return ModelError(f"model {text} cannot be loaded: {type(error).__name__}: {reason}")


def _load(reference: ModelReference, device: str, dtype: str) -> tuple[Any, str | None, str]:
    import torch

    torch_dtype: torch.dtype = getattr(torch, dtype)
    if reference.kind in ("tiny", "random"):
        size = "tiny" if reference.kind == "tiny" else "full"
        # tiny weights come from the CPU, so that the same picture is drawn everywhere
        home = "cpu" if size == "tiny" else device
        with torch.random.fork_rng(), _default_dtype(torch_dtype), torch.device(home), torch.no_grad():
            torch.manual_seed(_RANDOM_SEED)
            pipe = FAMILIES[reference.name].build(size)
        for component in pipe.components.values():
            if isinstance(component, torch.nn.Module):
                component.eval().requires_grad_(False)
        return pipe.to(device), None, fingerprint_random(reference.text, dtype)

    from diffusers import DiffusionPipeline

    folder, revision = reference.name, None
    if reference.kind == "hub":
        folder = DiffusionPipeline.download(reference.name, revision=reference.revision, use_safetensors=True)
        revision = os.path.basename(folder)  # the snapshot's commit
    apart = family_of(DiffusionPipeline.load_config(folder)["_class_name"]).loaded_apart(folder)
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch_dtype, use_safetensors=True, **apart)
    return pipe.to(device), revision, fingerprint_folder(folder)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _describe(reference: ModelReference, pipe: Any, family: Family, dtype: str) -> ModelFacts:
    signature = inspect.signature(type(pipe).__call__).parameters
    if "prompt" not in signature:
        raise ModelError(
            f"model {reference.text}: {type(pipe).__name__} takes no prompt; give a text-to-image pipeline"
        )
    min_images, max_images = family.image_limits(pipe)
    own_defaults = {"tiny": family.tiny_defaults, "demo": DEMO_DEFAULTS}
    return ModelFacts(
        model=reference.text,
        revision=None,
        fingerprint="",
        pipeline=type(pipe).__name__,
        family=family.name or None,
        dtype=dtype,
        defaults=own_defaults.get(reference.kind, family.defaults),
        size_multiple=family.size_multiple(pipe),
        parameters=frozenset(signature) - {"self"} - RESERVED_PARAMS.keys(),
        columns=frozenset(column for column, argument in _COLUMNS.items() if argument in signature),
        min_images=min_images,
        max_images=max_images,
        max_batch=family.max_batch,
        versions=package_versions(),
        load_seconds=0.0,
    )


def package_versions() -> dict[str, str]:
    """The installed version of every package that can change a picture or a timing."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # renderay itself, when it runs from a checkout that is not installed
    return found


def inspect_model(text: str) -> ModelFacts:
    """Describe a model without its large weights: of saved pipelines only the VAE is loaded, on the CPU.

    Raises ModelError as `load_model` does. Revision and fingerprint stay empty.
    """
    _quieten_libraries()
    reference = parse_model(text)
    try:
        pipe = _skeleton(reference)
    except Exception as error:
        raise _cannot_load(text, error) from error
    return _describe(reference, pipe, family_of(type(pipe).__name__), "float32")


def _skeleton(reference: ModelReference) -> Any:
    import torch

    if reference.kind in ("tiny", "random"):
        with torch.device("meta"):
            return FAMILIES[reference.name].build("tiny" if reference.kind == "tiny" else "full")

    from diffusers import DiffusionPipeline

    config = DiffusionPipeline.load_config(reference.name, revision=reference.revision)
    parts = [name for name, value in config.items() if isinstance(value, list) and name not in ("vae", "scheduler")]
    return DiffusionPipeline.from_pretrained(
        reference.name, revision=reference.revision, use_safetensors=True, **dict.fromkeys(parts)
    )
