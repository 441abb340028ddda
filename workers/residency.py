"""Which of a pipeline's weights are on which device at which time.

The masters of all weights stay where they were loaded: in host memory (swap) or on a GPU of their own (spread). Before
a phase what it needs is copied to its device, unless it lives there; after it that copy is dropped, never copied back,
because rendering changes no weight. So pictures are the same, bit for bit, wherever weights live.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from workers.hardware import free_memory

if TYPE_CHECKING:
    import torch


class Residency:
    """Everything is on the one device, always."""

    seconds_per_lease = 0.0

    def encoding(self) -> AbstractContextManager[None]:
        """Around text encoding: the text encoders are on their device, which is torch's current one."""
        return nullcontext()

    def denoising(self) -> None:
        """Before a pipeline's call: denoiser and VAE are on the worker's first device."""


class PhasedResidency(Residency):
    """Two groups of modules, of which one is present at a time.

    An absent tensor is an empty one on the device at work, so that a pipeline that asks any of its components where it
    is gets the same answer. `seconds_per_lease` is what going from one phase to the other and back costs.
    """

    def __init__(self, text: Sequence[Any], rest: Sequence[Any], text_device: str, device: str) -> None:
        self._groups = {"text": _Group(text, text_device), "rest": _Group(rest, device)}
        self._present: str | None = None
        self._text_device = text_device
        self._turn("text")
        begun = time.perf_counter()  # the first turn was not representative: CUDA and its allocator started with it
        self._turn("rest")
        self._turn("text")
        self.seconds_per_lease = time.perf_counter() - begun

    @contextmanager
    def encoding(self) -> Iterator[None]:
        import torch

        self._turn("text")
        with torch.cuda.device(self._text_device) if self._text_device.startswith("cuda") else nullcontext():
            yield

    def denoising(self) -> None:
        self._turn("rest")

    def _turn(self, name: str) -> None:
        if self._present == name:
            return
        here = self._groups[name]
        for other in self._groups.values():
            if other is not here:
                other.leave(here.device)
        free_memory("cuda" if here.device.startswith("cuda") else here.device)
        here.come()
        self._present = name


class _Group:
    """Modules that are needed together, and the masters of their tensors."""

    def __init__(self, modules: Sequence[Any], device: str) -> None:
        self.device = device
        self._masters = [
            (tensor, tensor.data) for module in modules for tensor in _tensors(module) if not _is_wrapper(tensor)
        ]
        # quantised tensors have no `data` to exchange: their modules get others
        self._wrappers = [
            (part, name, tensor)
            for module in modules
            for part in module.modules()
            for name, tensor in part.named_parameters(recurse=False)
            if _is_wrapper(tensor)
        ]

    def come(self) -> None:
        """Put every tensor on the device; those that live there are not copied."""
        for tensor, master in self._masters:
            tensor.data = master.to(self.device)
        for part, name, master in self._wrappers:
            _put(part, name, master.to(self.device))

    def leave(self, device: str) -> None:
        """Drop every tensor's copy."""
        for tensor, master in self._masters:
            tensor.data = master.new_empty(0, device=device)
        for part, name, master in self._wrappers:
            _put(part, name, _empty(master, device))


def _tensors(module: Any) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _is_wrapper(tensor: torch.Tensor) -> bool:
    """Whether it is torchao's: a tensor around others."""
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    return is_traceable_wrapper_subclass(tensor)


def _empty(master: torch.Tensor, device: str) -> torch.Tensor:
    import torch

    return torch.empty(0, dtype=master.dtype, device=device)


def _put(module: Any, name: str, tensor: torch.Tensor) -> None:
    import torch

    setattr(module, name, torch.nn.Parameter(tensor, requires_grad=False))
