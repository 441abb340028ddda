"""Put a backend into a model, and count which kernels then ran."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from attention.backends import BACKENDS

if TYPE_CHECKING:
    import torch

# the operators that each kernel shows to torch's dispatcher
_OPERATORS = {
    "aten._scaled_dot_product_flash_attention": "sdpa-flash",
    "aten._scaled_dot_product_flash_attention_for_cpu": "sdpa-flash",
    "aten._scaled_dot_product_cudnn_attention": "sdpa-cudnn",
    "aten._scaled_dot_product_efficient_attention": "sdpa-efficient",
    "aten._safe_softmax": "sdpa-math",
    "aten._softmax": "sdpa-math",
    "flash_attn._flash_attn_forward": "flash",
    "flash_attn._flash_attn_varlen_forward": "flash",
}


def use_backend(denoiser: torch.nn.Module, name: str) -> None:
    """Make every attention layer of a diffusers model use the named backend."""
    denoiser.set_attention_backend(BACKENDS[name].dispatch)


class KernelCount:
    """Counts attention kernels at torch's dispatcher over the first forward of a module.

    Use as a context manager around calls of the module; `names` holds how often each backend's kernel ran. The first
    forward is done once more for it, and thrown away: what is counted runs without compiled blocks, which hide their
    kernels from the dispatcher (and choose them by the same rules), and must not touch the picture's last bit.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.names: Counter[str] = Counter()
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

    def _count(self, module: torch.nn.Module, arguments: Any, keywords: Any) -> None:
        import torch

        self._hook.remove()
        with torch.compiler.set_stance("force_eager"), _counting_mode(self.names):
            module.forward(*arguments, **keywords)


def _counting_mode(names: Counter[str]) -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode

    class CountKernels(TorchDispatchMode):  # defined here because importing torch takes seconds
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = _OPERATORS.get(str(func).rsplit(".", 1)[0])
            if name is not None:
                names[name] += 1
            return func(*args, **(kwargs or {}))

    return CountKernels()
