"""Prove which kernels ran: count attention operators where they are dispatched, compiled or not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attention.operators import OPERATORS

if TYPE_CHECKING:
    import torch

# the operators that torch's own kernels, and libraries called past diffusers' dispatcher, show to torch's
_OTHERS = {
    "aten._scaled_dot_product_flash_attention": "sdpa-flash",
    "aten._scaled_dot_product_flash_attention_for_cpu": "sdpa-flash",
    "aten._scaled_dot_product_cudnn_attention": "sdpa-cudnn",
    "aten._scaled_dot_product_efficient_attention": "sdpa-efficient",
    "aten._safe_softmax": "sdpa-math",
    "aten._softmax": "sdpa-math",
    "flash_attn._flash_attn_forward": "flash",
    "flash_attn._flash_attn_varlen_forward": "flash_varlen",
}


@dataclass(frozen=True)
class Call:
    """One attention call that was seen: the backend, the layer it was in, the shapes of query and key."""

    backend: str
    layer: str
    query: tuple[int, ...]
    key: tuple[int, ...]


class KernelCount:
    """Counts attention kernels over the first forward of a module.

    Use as a context manager around calls of the module; `names` holds how often each backend's kernel ran, `calls`
    where. The first forward is done again for it, before it runs, and thrown away: it must not touch the picture's
    last bit. Where blocks are compiled it is done thrice: without the compiled code, which tells the layers; then
    compiled, to have it compiled; then compiled again, and profiled, which tells what the compiler left.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.names: Counter[str] = Counter()
        self.calls: list[Call] = []
        self._module = module
        self._hook: Any = None

    def __enter__(self) -> KernelCount:
        self._hook = self._module.register_forward_pre_hook(self._count, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    @property
    def backend(self) -> str:
        """The backend that ran; several are joined by `+`, none is `unknown`."""
        return "+".join(sorted(self.names)) or "unknown"

    def bypass(self, chosen: str) -> str | None:
        """Which kernels ran besides the chosen one, how often and where; None where none did, or torch may pick."""
        total = self.names.total()
        others = {name: count for name, count in self.names.items() if name != chosen}
        if not others or (chosen == "sdpa" and all(name.startswith("sdpa-") for name in others)):
            return None
        said = []
        for name, count in sorted(others.items()):
            layers = [call.layer for call in self.calls if call.backend == name]
            where = f" (first in {layers[0]})" if layers else ""
            said.append(f"{count} by {name}{where}")
        return f"{sum(others.values())} of {total} attention calls bypass {chosen}: {', '.join(said)}"

    def _count(self, module: torch.nn.Module, arguments: Any, keywords: Any) -> None:
        import torch

        self._hook.remove()
        eager = torch.compiler.set_stance("force_eager")
        with eager, _layers_of(module) as stack, _counting_mode(self.calls, stack):
            module.forward(*arguments, **keywords)
        self.names.update(call.backend for call in self.calls)
        if is_compiled(module):
            module.forward(*arguments, **keywords)
            with _profile() as profiler:
                module.forward(*arguments, **keywords)
            self.names = compiled_counts(self.names, count_events(profiler.events()))


def is_compiled(module: torch.nn.Module) -> bool:
    """Whether some part of the module is compiled at call."""
    return any(part._compiled_call_impl is not None for part in module.modules())


def compiled_counts(eager: Counter[str], compiled: Counter[str]) -> Counter[str]:
    """What ran in compiled code. Attention that is plain arithmetic leaves no operator there once it is fused."""
    missing = eager.total() - compiled.total()
    fused = min(eager["sdpa-math"], missing)
    return compiled + Counter({"sdpa-math": fused}) + Counter({"unknown": missing - fused})


def _backend_of(operator: str) -> str | None:
    """The backend that an operator belongs to, by its full name with a dot or two colons."""
    name = operator.replace("::", ".")
    return OPERATORS.get(name) or _OTHERS.get(name)


def count_events(events: Any) -> Counter[str]:
    """Attention kernels among a profiler's events; operators inside a counted one are its own."""
    found: Counter[str] = Counter()
    for event in events:
        name = _backend_of(event.name)
        above = event.cpu_parent
        while name and above is not None:
            if _backend_of(above.name):
                name = None
            above = above.cpu_parent
        if name:
            found[name] += 1
    return found


def _profile() -> Any:
    """Records the operators that are called on the host; no kernel of the device, which costs more and tells less."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from torch.profiler import ProfilerActivity, profile

    return profile(activities=[ProfilerActivity.CPU], acc_events=True)


@contextmanager
def _layers_of(module: torch.nn.Module) -> Iterator[list[str]]:
    """While open, the names of the submodules being called, the innermost last."""
    names = {part: name for name, part in module.named_modules()}
    stack: list[str] = []
    hooks = []
    for part in list(names)[1:]:  # the first is the module itself
        hooks.append(part.register_forward_pre_hook(lambda part, _: stack.append(names[part])))
        hooks.append(part.register_forward_hook(lambda *_: stack.pop() and None, always_call=True))
    try:
        yield stack
    finally:
        for hook in hooks:
            hook.remove()


def _counting_mode(calls: list[Call], stack: list[str]) -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode

    class CountKernels(TorchDispatchMode):  # defined here because importing torch takes seconds
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = _backend_of(str(func).rsplit(".", 1)[0])
            if name is not None:
                given = [*args, *(kwargs or {}).values()]
                shapes = [tuple(each.shape) for each in given if hasattr(each, "shape")]
                key = shapes[1] if len(shapes) > 1 else shapes[0]
                calls.append(Call(name, stack[-1] if stack else "", shapes[0], key))
            return func(*args, **(kwargs or {}))

    return CountKernels()
