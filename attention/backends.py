"""The attention backends renderay knows by name, and whether each can be used here.

`name` is ours, `dispatch` what diffusers' dispatcher calls it. A backend is exact when it computes softmax attention
up to rounding.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.util import find_spec

from manifests.errors import AttentionError

AUTO = "auto"


@dataclass(frozen=True)
class Backend:
    """One way to compute attention: its names, what it needs, the pip line that installs it."""

    name: str
    dispatch: str
    needs_gpu: bool = False
    module: str | None = None
    install: str | None = None
    exact: bool = True


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend("sdpa", "native"),
        Backend("sdpa-flash", "_native_flash", needs_gpu=True),
        Backend("sdpa-cudnn", "_native_cudnn", needs_gpu=True),
        Backend("sdpa-efficient", "_native_efficient", needs_gpu=True),
        Backend("sdpa-math", "_native_math"),
        Backend("flash", "flash", True, "flash_attn.flash_attn_interface", "pip install 'renderay[flash]'"),
    )
}


def require_usable(name: str, device: str) -> None:
    """Check that a backend asked for by name can be used on `device` ("cpu" or "cuda").

    Raises AttentionError with every reason and the remedy. `auto` is always usable.
    """
    if name == AUTO:
        return
    backend = BACKENDS.get(name)
    if backend is None:
        near = difflib.get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise AttentionError(f"attention {name!r}: unknown backend; known: auto, {', '.join(BACKENDS)}{hint}")
    reasons = []
    if backend.module and not _importable(backend.module):
        reasons.append(f"package {backend.module.split('.')[0]} is not installed ({backend.install})")
    if backend.needs_gpu and device != "cuda":
        reasons.append("it runs on CUDA GPUs only and none is used here")
    if reasons:
        raise AttentionError(
            f"attention {name}: {' and '.join(reasons)}; use --attention auto, or one of "
            f"{', '.join(other.name for other in BACKENDS.values() if not other.needs_gpu)}"
        )


def choose(requested: str) -> tuple[str, str]:
    """The backend to use and why. `auto` leaves the choice of kernel to torch's own dispatcher."""
    if requested == AUTO:
        return "sdpa", "auto: torch picks its kernel by shape"
    return requested, "asked for by name"


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False
