"""What this worker runs on: node, device, GPU model and UUID, memory in use."""

from __future__ import annotations

import gc
import os
import platform
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """One worker's device.

    `gpu` is the model's name, None on a CPU; `memory_gib` is the device's total (the machine's on a CPU).
    """

    node: str
    device: str
    gpu: str | None
    gpu_uuid: str | None
    memory_gib: float
    cpu: str

    @property
    def kind(self) -> str:
        """What measured decisions are keyed by: the GPU model, or `cpu`."""
        return self.gpu or "cpu"


def describe_hardware(device: str) -> Hardware:
    """Describe the device that this process renders on ("cpu" or "cuda")."""
    gpu = gpu_uuid = None
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if device == "cuda":
        import torch

        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        gpu, gpu_uuid, memory = properties.name, str(properties.uuid), properties.total_memory
    return Hardware(socket.gethostname(), device, gpu, gpu_uuid, memory / 2**30, platform.processor() or _cpu_model())


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def free_gib(gpus: int) -> list[float]:
    """GiB free on each of this process's first `gpus` GPUs."""
    import torch

    return [torch.cuda.mem_get_info(index)[0] / 2**30 for index in range(gpus)]


def free_host_gib() -> float:
    """GiB of host memory that can be had without swapping."""
    import psutil  # type: ignore[import-untyped, unused-ignore]

    return psutil.virtual_memory().available / 2**30


def limit_memory(gib: float) -> None:
    """Make torch refuse to allocate more than this on each of this process's GPUs."""
    import torch

    for index in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(index).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib / total), index)


def peak_gib(device: str) -> float:
    """The most memory this process has held: device memory since the last reset, or resident memory on a CPU."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30


def free_memory(device: str) -> None:
    """Give cached device memory back, after a batch that did not fit or before one that may not."""
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
