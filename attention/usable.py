"""Whether a backend can be used: what it lacks here, in words, and what installs it.

What can be told without loading torch is told by `require_usable`, in a driver that may have no GPU of its own; a
worker asks `require_working`, which also tries the kernel on its device.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from packaging.version import Version

from attention.backends import AUTO, BACKENDS, DEVICES, Backend
from attention.probe import Probe, probe
from manifests.errors import AttentionError

DOWNLOADS = "downloads a kernel from the hub; only by name"


@dataclass(frozen=True)
class Finding:
    """What is known of one backend on this machine: `usable` is None where only using it would tell."""

    backend: Backend
    usable: bool | None
    reason: str
    error: float | None = None  # relative to fp32, where it was tried

    @property
    def install(self) -> str | None:
        """The line that installs it, where it is not usable for want of that."""
        return self.backend.install if self.backend.install and lacks_package(self.backend) else None


def require_known(name: str) -> None:
    """AttentionError where no backend has this name (`auto` is one); names the nearest."""
    if name == AUTO or name in BACKENDS:
        return
    near = difflib.get_close_matches(name, BACKENDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise AttentionError(f"attention {name!r}: unknown backend; known: auto, {', '.join(BACKENDS)}{hint}")


def require_usable(name: str, device: str) -> None:
    """Check, without loading torch, that a backend asked for by name can be used on `device` ("cpu" or "cuda").

    Raises AttentionError with every reason and the remedy. `auto` is always usable.
    """
    require_known(name)
    if name != AUTO and (reasons := reasons_against(BACKENDS[name], device)):
        raise _refusal(name, reasons, device)


def require_working(name: str, device: str, dtype: str, head_sizes: Iterable[int]) -> None:
    """Check that a backend computes attention rightly on this process's device, at each of these head sizes.

    `dtype` is torch's name for it. Tried once per process. A kernel of the hub is downloaded. AttentionError as above.
    """
    require_usable(name, device)
    if name == AUTO:
        return
    for size in sorted(head_sizes):
        found = examine(BACKENDS[name], device, dtype, size, download=True)
        if not found.usable:
            raise _refusal(name, [found.reason], device)


def examine(backend: Backend, device: str, dtype: str, head_size: int, download: bool = False) -> Finding:
    """Find out whether a backend works here: by its needs, then by trying it."""
    reasons = reasons_against(backend, device)
    if device in backend.devices:
        reasons += _misfits(backend, device, dtype, head_size)
    if reasons:
        return Finding(backend, False, " and ".join(reasons) + (f"; {DOWNLOADS}" if backend.hub else ""))
    if backend.hub and not download:
        return Finding(backend, None, DOWNLOADS)
    tried: Probe = probe(backend.name, device, dtype, head_size)
    return Finding(backend, tried.works, tried.reason, tried.error)


def reasons_against(backend: Backend, device: str) -> list[str]:
    """Why a backend cannot be used on a device, as far as that is known without torch."""
    reasons = []
    if lack := lacks_package(backend):
        reasons.append(f"{lack} ({backend.install})" if backend.install else lack)
    if device not in backend.devices:
        reasons.append(f"it runs on {DEVICES[backend.devices[0]]} only and none is used here")
    return reasons


def lacks_package(backend: Backend) -> str | None:
    """What is wrong with the package that brings the backend: missing or too old; None where nothing is."""
    if backend.module is None:
        return None
    if not _is_there(backend.module):
        return f"package {backend.package} is not installed"
    found = installed_version(backend)
    if found and backend.at_least and Version(found) < Version(backend.at_least):
        return f"package {backend.package} is {found} and must be at least {backend.at_least}"
    return None


def installed_version(backend: Backend) -> str | None:
    """The version of the package that brings the backend; None for torch's own, or where it cannot be told."""
    try:
        return version(backend.package) if backend.package else None
    except PackageNotFoundError:
        return None


def _is_there(module: str) -> bool:
    """Whether a module can be found, without importing the packages above it (flash_attn loads CUDA libraries)."""
    top, *below = module.split(".")
    spec = find_spec(top)
    if spec is None or not below:
        return spec is not None
    path = os.path.join(*below)
    return any(
        os.path.exists(os.path.join(folder, path + suffix))
        for folder in spec.submodule_search_locations or ()
        for suffix in (".py", "")
    )


def _misfits(backend: Backend, device: str, dtype: str, head_size: int) -> list[str]:
    """What of the device, dtype and head size the backend does not take."""
    found = []
    if device == "cuda" and backend.capability:
        import torch

        lowest, *beyond = backend.capability
        here = torch.cuda.get_device_capability()
        if here < lowest or (beyond and here >= beyond[0]):
            wanted = f"at least {_dotted(lowest)}" + (f" and below {_dotted(beyond[0])}" if beyond else "")
            found.append(f"the GPU's compute capability is {_dotted(here)} and must be {wanted}")
    if dtype not in backend.dtypes:
        found.append(f"it takes {' and '.join(backend.dtypes)}, not {dtype}")
    if backend.max_head and head_size > backend.max_head:
        found.append(f"heads of {head_size} are above its limit of {backend.max_head}")
    if head_size % backend.head_multiple:
        found.append(f"heads of {head_size} are no multiple of {backend.head_multiple}")
    return found


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _refusal(name: str, reasons: list[str], device: str) -> AttentionError:
    others = [other.name for other in BACKENDS.values() if device in other.devices and other.module is None]
    return AttentionError(
        f"attention {name}: {' and '.join(reasons)}; use --attention auto, or one of {', '.join(others)}"
    )
