"""Load one pipeline for one worker, and describe it.

`workers.pipelines` knows where weights come from; `ModelFacts` is all that the rest of a job may know of a model,
plain values that travel to the driver, which never imports torch.
"""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from attention import BACKENDS
from manifests.errors import ModelError, RenderayError, named_line
from manifests.fields import RESERVED_PARAMS
from workers.families import Family, family_of
from workers.fingerprint import fingerprint_quantized
from workers.libraries import hide_loading, prepare_libraries
from workers.lora import fingerprint_loras
from workers.pipelines import LoadOptions, load_pipeline, load_skeleton
from workers.reference import ModelReference, parse_model
from workers.residency import Residency
from workers.traits import ModelTraits, defaults_of, sizes_of

VERSIONED = (
    *("renderay", "torch", "diffusers", "transformers", "accelerate", "safetensors", "pillow", "pyarrow", "ray"),
    *sorted({backend.package for backend in BACKENDS.values() if backend.package}),
)
_COLUMNS = {  # optional manifest columns, and the pipeline argument that each becomes
    "width": "width",
    "height": "height",
    "steps": "num_inference_steps",
    "guidance_scale": "guidance_scale",
    "true_cfg_scale": "true_cfg_scale",
    "negative_prompt": "negative_prompt",
}


@dataclass(frozen=True)
class ModelFacts(ModelTraits):
    """What a loaded pipeline is and takes.

    `max_batch` in pictures a call; `placement` is resident, spread or swap, `swap_seconds` what swapping costs a
    lease; `load_seconds` is wall time; `weights` how many numbers all components hold, 0 where they were not loaded.
    """

    parameters: frozenset[str]
    model: str
    revision: str | None
    fingerprint: str
    dtype: str
    max_batch: int | None
    versions: dict[str, str]
    load_seconds: float
    quantized: tuple[str, ...] = ()
    placement: str = "resident"
    swap_seconds: float = 0.0
    weights: int = 0


@dataclass(frozen=True)
class LoadedModel:
    """A pipeline on `device`, the family that serves it, the facts about both; `residency` moves its weights."""

    pipe: Any
    family: Family
    facts: ModelFacts
    device: str
    residency: Residency = field(default_factory=Residency)


def load_model(text: str, device: str, dtype: str, options: LoadOptions | None = None) -> LoadedModel:
    """Load what `--model` names onto `device` ("cpu", "cuda") with weights of `dtype` ("bfloat16", "float32", ...).

    Raises ModelError, one line, with the loader's own error as its cause.
    """
    options = options or LoadOptions()
    prepare_libraries()
    reference = parse_model(text)
    started = time.perf_counter()
    try:
        hide_loading()
        loaded = load_pipeline(reference, device, dtype, options)
    except RenderayError:
        raise
    except Exception as error:  # whatever the loaders raise, the user's question is which model and why
        raise _cannot_load(text, error) from error
    loaded.pipe.set_progress_bar_config(disable=True)
    facts = _describe(reference, loaded.pipe, loaded.family, dtype)
    facts = replace(
        facts,
        revision=loaded.revision,
        fingerprint=fingerprint_loras(fingerprint_quantized(loaded.fingerprint, options.quantize), options.lora),
        quantized=options.quantize,
        placement=loaded.placement,
        swap_seconds=loaded.residency.seconds_per_lease,
        load_seconds=time.perf_counter() - started,
        weights=_weights(loaded.pipe),
    )
    return LoadedModel(loaded.pipe, loaded.family, facts, device, loaded.residency)


def _weights(pipe: Any) -> int:
    components = (each for each in pipe.components.values() if hasattr(each, "parameters"))
    return sum(weight.numel() for each in components for weight in each.parameters())


def _cannot_load(text: str, error: Exception) -> ModelError:
    reason = named_line(error, 600)
    remedy = ""
    if "trust_remote_code" in reason:
        remedy = "; --trust-remote-code runs the repository's own code"
    elif "gated" in reason or "restricted" in reason:
        remedy = "; accept the model's terms on its page of the hub, and set HF_TOKEN"
    elif "safetensors" in reason:
        remedy = "; --allow-pickle loads weights of other formats, which can run code"
    return ModelError(f"model {text} cannot be loaded: {reason}{remedy}")


def _describe(reference: ModelReference, pipe: Any, family: Family, dtype: str) -> ModelFacts:
    signature = inspect.signature(type(pipe).__call__).parameters
    if "prompt" not in signature:
        raise ModelError(
            f"model {reference.text}: {type(pipe).__name__} takes no prompt; give a text-to-image pipeline"
        )
    min_images, max_images = family.image_limits(pipe)
    return ModelFacts(
        model=reference.text,
        revision=None,
        fingerprint="",
        pipeline=type(pipe).__name__,
        family=family.name or None,
        dtype=dtype,
        defaults=defaults_of(reference, family),
        size_multiple=family.size_multiple(pipe),
        sizes=sizes_of(reference, family),
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
    prepare_libraries()
    reference = parse_model(text)
    try:
        hide_loading()
        pipe = load_skeleton(reference)
    except RenderayError:
        raise
    except Exception as error:
        raise _cannot_load(text, error) from error
    return _describe(reference, pipe, family_of(type(pipe).__name__), "float32")
