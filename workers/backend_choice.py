"""Which attention backend a job uses: the one asked for, or the fastest exact one inside its own model.

To measure inside the model, a pipeline call at the job's own shape is led to the denoiser's first forward and stopped
there; that forward is then repeated with each backend, its blocks compiled if the job compiles them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from attention import AUTO, BACKENDS, KernelCount, head_sizes, use_backend
from attention.auto import Choice, choose_fastest, contenders, cuda_ms, heaviest, time_alone_at, versions
from attention.memory import recall, remember
from manifests.plan import Picture
from workers.compile import compile_blocks, uncompile_blocks
from workers.encode import Encoded
from workers.hardware import free_memory
from workers.model import LoadedModel
from workers.render import Renderer

if TYPE_CHECKING:
    import torch

log = logging.getLogger("renderay.worker")


class FirstForward(Exception):
    """Ends a pipeline call where its denoiser would run first; holds the denoiser and its arguments."""

    def __init__(self, denoiser: torch.nn.Module, arguments: Any, keywords: Any) -> None:
        super().__init__("the pipeline call ends here on purpose")
        self.denoiser, self.arguments, self.keywords = denoiser, arguments, keywords

    def run(self) -> None:
        """The forward itself; its output is thrown away."""
        import torch

        with torch.no_grad():
            self.denoiser(*self.arguments, **self.keywords)

    def shapes(self) -> list[Any]:
        """The shape and dtype of every tensor the denoiser is given, in order."""
        given = [*self.arguments, *(self.keywords[name] for name in sorted(self.keywords))]
        return [[*each.shape, str(each.dtype)] for each in given if hasattr(each, "dtype")]


def first_forward(renderer: Renderer, pictures: list[Picture], encoded: list[Encoded]) -> FirstForward:
    """Lead a pipeline call to its denoiser's first forward. RuntimeError where it never comes to one."""

    def stop(module: torch.nn.Module, arguments: Any, keywords: Any) -> None:
        raise FirstForward(module, arguments, keywords)

    hooks = [each.register_forward_pre_hook(stop, with_kwargs=True) for each in renderer.denoisers]
    try:
        renderer.render(pictures, encoded)
    except FirstForward as found:
        return found
    finally:
        for hook in hooks:
            hook.remove()
    raise RuntimeError("the pipeline never called its denoiser")


def measure_backends(model: LoadedModel, forward: FirstForward, compiled: bool, gpu: str) -> tuple[Choice, bool]:
    """The fastest exact backend for this forward on this GPU, and whether that was known from an earlier job."""
    key = _key(model, forward, compiled, gpu)
    if known := _remembered(key):
        return known, True
    choice = _measure(model, forward, compiled)
    remember(key, asdict(choice))
    return choice, False


def _remembered(key: dict[str, Any]) -> Choice | None:
    """What an earlier job chose; None where it chose nothing, or what the file says is no choice."""
    found = recall(key)
    if found is None:
        return None
    try:
        choice = Choice(**found)
    except TypeError:
        return None
    return choice if choice.backend in BACKENDS else None


def bypassed(forward: FirstForward, backend: str) -> str | None:
    """Which of the model's attention calls do not go through the backend put in; None where all do."""
    with KernelCount(forward.denoiser) as count:
        forward.run()
    return count.bypass(backend)


def why(choice: Choice, known: bool, compiled: bool) -> str:
    """The reason that job.json gives for a backend that was measured."""
    how = "compiled" if compiled else "not compiled"
    return f"{AUTO}{', measured by an earlier job' if known else ''}: {how}, {choice.reason()}"


def _measure(model: LoadedModel, forward: FirstForward, compiled: bool) -> Choice:
    denoiser, dtype = forward.denoiser, model.facts.dtype
    use_backend(denoiser, "sdpa")
    with KernelCount(denoiser) as count:
        forward.run()
    usable, unusable = contenders(model.device, dtype, head_sizes(denoiser))

    def time_inside(name: str) -> float:
        use_backend(denoiser, name)
        return cuda_ms(forward.run)

    if compiled:
        compile_blocks(denoiser)
    try:
        return choose_fastest(usable, unusable, time_alone_at(heaviest(count.calls), dtype), time_inside)
    finally:
        uncompile_blocks(denoiser)
        free_memory(model.device)


def _key(model: LoadedModel, forward: FirstForward, compiled: bool, gpu: str) -> dict[str, Any]:
    """All that a measurement depends on: the GPU, the versions, the model's structure, the shapes."""
    import torch

    config = json.dumps(dict(getattr(forward.denoiser, "config", {})), sort_keys=True, default=str)
    names = ("torch", "diffusers", "renderay")
    found = {name: version for name, version in model.facts.versions.items() if name in names}
    return {
        "gpu": gpu,
        "versions": found | versions() | {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()},
        "denoiser": [type(forward.denoiser).__name__, hashlib.sha256(config.encode()).hexdigest()],
        "dtype": [model.facts.dtype, *model.facts.quantized],
        "shapes": forward.shapes(),
        "compiled": compiled,
    }
