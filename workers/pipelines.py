"""Where a pipeline comes from (random weights made here, a saved folder, the hub) and where its weights then live."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manifests.errors import ModelError
from workers.families import FAMILIES, Family, family_of
from workers.families.base import TEXT_ENCODERS
from workers.fingerprint import fingerprint_folder, fingerprint_random
from workers.hardware import free_gib, free_host_gib, limit_memory
from workers.hub import ask_hub
from workers.lora import merge_loras
from workers.placement import HEADROOM_GIB, choose_placement, needs_of
from workers.quantize import parse_quantize, quantize, require_components, require_torchao
from workers.reference import ModelReference
from workers.residency import PhasedResidency, Residency
from workers.weights import component_names, random_weights, saved_weights

if TYPE_CHECKING:
    import torch

_RANDOM_SEED = 0


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded, besides its reference, device and dtype.

    `lora` weights to merge, as REF or REF:SCALE; `quantize` as METHOD or COMPONENT=METHOD; `offload` is auto, never or
    swap; `gpus` how many this worker has; `gpu_memory` the GiB of each that it may use, None for all.
    `allow_pickle` lets weights be other than safetensors, `trust_remote_code` lets a repository bring its own code:
    both can run anything.
    """

    lora: tuple[str, ...] = ()
    quantize: tuple[str, ...] = ()
    offload: str = "auto"
    gpus: int = 1
    gpu_memory: float | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Pipeline:
    """A loaded pipeline. `placement` is resident, spread or swap (see `workers.placement`)."""

    pipe: Any
    family: Family
    revision: str | None
    fingerprint: str
    placement: str
    residency: Residency


def load_pipeline(reference: ModelReference, device: str, dtype: str, options: LoadOptions) -> Pipeline:
    """Load a pipeline onto `device` ("cpu", "cuda"). ModelError where it cannot fit; what loaders raise passes."""
    import torch

    torch_dtype: torch.dtype = getattr(torch, dtype)
    methods = parse_quantize(options.quantize)
    require_torchao(methods)
    if device == "cpu" and options.offload == "swap":
        raise ModelError(f"model {reference.text}: --offload swap: a CPU has all weights in its memory; leave it out")
    if device == "cuda" and options.gpu_memory:
        limit_memory(options.gpu_memory)
    load = _make if reference.kind in ("tiny", "random") else _read
    return load(reference, device, torch_dtype, methods, options)


def _make(
    reference: ModelReference, device: str, dtype: torch.dtype, methods: dict[str, str], options: LoadOptions
) -> Pipeline:
    """Random weights: tiny ones come from the CPU, so that the same picture is drawn everywhere."""
    import torch

    family = FAMILIES[reference.name]
    size = "tiny" if reference.kind == "tiny" else "full"
    placement = "resident"
    if device == "cuda":
        placement = _place(reference, family, random_weights(reference.name, size, dtype, methods), options)

    def settle(name: str, component: torch.nn.Module) -> torch.nn.Module:
        component.eval().requires_grad_(False)
        if name in methods:
            quantize(component, methods[name], device)
        # all at once may fit only quantised, and this one was made whole: they meet when the last is quantised
        return component.to("cpu" if methods else _home(name, placement, device))

    made_on = "cpu" if size == "tiny" else device
    with torch.random.fork_rng(), _default_dtype(dtype), torch.device(made_on), torch.no_grad():
        torch.manual_seed(_RANDOM_SEED)
        pipe = family.build(size, settle)
    for name, component in _modules(pipe).items():
        component.to(_home(name, placement, device))
    require_components(options.quantize, _modules(pipe).keys(), type(pipe).__name__)
    merge_loras(pipe, options.lora)
    fingerprint = fingerprint_random(reference.text, str(dtype).removeprefix("torch."))
    return Pipeline(pipe, family, None, fingerprint, placement, _residency(pipe, placement, device))


def _read(
    reference: ModelReference, device: str, dtype: torch.dtype, methods: dict[str, str], options: LoadOptions
) -> Pipeline:
    """A saved pipeline: read into host memory, changed there, and only then placed."""
    import torch
    from diffusers import DiffusionPipeline

    safetensors = None if options.allow_pickle else True
    trust = {"trust_remote_code": True} if options.trust_remote_code else {}
    folder, revision = reference.name, None
    if reference.kind == "hub":
        ask_hub(reference)
        folder = DiffusionPipeline.download(
            reference.name, revision=reference.revision, use_safetensors=safetensors, **trust
        )
        revision = os.path.basename(folder)  # the snapshot's commit
    named = DiffusionPipeline.load_config(folder)["_class_name"]  # [module, class] where the repository brings its own
    family = family_of(named if isinstance(named, str) else named[-1])
    placement = "resident"
    if device == "cuda":
        placement = _place(reference, family, saved_weights(folder, dtype, methods), options)
    whole = {"device_map": "balanced"} if placement == "spread" and not family.encodes_apart else {}
    apart = family.loaded_apart(folder)
    pipe = DiffusionPipeline.from_pretrained(
        folder, dtype=dtype, use_safetensors=safetensors, **trust, **whole, **dict.fromkeys(apart)
    )
    pipe.register_modules(**apart)
    require_components(options.quantize, _modules(pipe).keys(), type(pipe).__name__)
    merge_loras(pipe, options.lora)
    for name, component in _modules(pipe).items():
        if name in methods:
            quantize(component, methods[name], str(component.device) if whole else device)
    if placement == "resident":
        pipe.to(device)
    elif whole:
        if left := [name for name, place in pipe.hf_device_map.items() if str(place) == "cpu"]:
            raise ModelError(
                f"model {reference.text}: {', '.join(left)} fits on neither GPU as diffusers spreads it; "
                f"use --offload swap"
            )
        torch.cuda.set_device(pipe._execution_device)  # "cuda" is from now on where its call works: clocks, pictures
        return Pipeline(pipe, family, revision, fingerprint_folder(folder), placement, Residency())
    elif not family.encodes_apart:  # its text encoders work inside its call: the hooks of diffusers move its parts
        pipe.enable_model_cpu_offload(device=device)
        return Pipeline(pipe, family, revision, fingerprint_folder(folder), placement, Residency())
    else:
        for name, component in _modules(pipe).items():
            component.to(_home(name, placement, device))
    return Pipeline(pipe, family, revision, fingerprint_folder(folder), placement, _residency(pipe, placement, device))


def _place(reference: ModelReference, family: Family, components: dict[str, float], options: LoadOptions) -> str:
    needs = needs_of(components, family.encodes_apart)
    free = [min(size, options.gpu_memory or size) for size in free_gib(options.gpus)]
    if not family.encodes_apart and needs.total + HEADROOM_GIB <= free[0]:
        free = free[:1]  # diffusers would spread it part by part, at the cost of copies in every step
    return choose_placement(options.offload, needs, free, free_host_gib(), reference.text)


def _home(name: str, placement: str, device: str) -> str:
    """Where a component's weights live."""
    if placement == "swap":
        return "cpu"
    return f"{device}:1" if placement == "spread" and name in TEXT_ENCODERS else device


def _residency(pipe: Any, placement: str, device: str) -> Residency:
    if placement == "resident":
        return Residency()
    modules = _modules(pipe)
    text = [component for name, component in modules.items() if name in TEXT_ENCODERS]
    rest = [component for name, component in modules.items() if name not in TEXT_ENCODERS]
    return PhasedResidency(
        text, rest, _home(TEXT_ENCODERS[0], "spread", device) if placement == "spread" else device, device
    )


def _modules(pipe: Any) -> dict[str, torch.nn.Module]:
    import torch

    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def load_skeleton(reference: ModelReference) -> Any:
    """The pipeline without its large weights: of a saved one only the VAE is read, on the CPU."""
    import torch

    if reference.kind in ("tiny", "random"):
        with torch.device("meta"):
            return FAMILIES[reference.name].build("tiny" if reference.kind == "tiny" else "full")

    from diffusers import DiffusionPipeline

    source: dict[str, Any] = {"revision": reference.revision}
    if reference.kind == "hub":
        source["local_files_only"] = not ask_hub(reference)
    config = DiffusionPipeline.load_config(reference.name, **source)
    parts = [name for name in component_names(config) if name not in ("vae", "scheduler")]
    return DiffusionPipeline.from_pretrained(reference.name, use_safetensors=True, **source, **dict.fromkeys(parts))
