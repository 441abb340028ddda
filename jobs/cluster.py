"""Join a Ray cluster, or start one on this machine for the time of a job."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import attention
import manifests
import workers
from jobs.spec import JobSpec
from manifests.errors import SpecError, one_line

_OBJECT_STORE_BYTES = 256 << 20  # leases and summaries pass through it, never pixels
_CONNECT_SECONDS = 10.0
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")  # NVIDIA, its boards, AMD, Linux on Windows
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT")
_SECRET_PREFIXES = ("AWS_",)


@dataclass(frozen=True)
class Resources:
    """What the job renders on: `device` is "cuda" or "cpu", with one worker each; `cores_per_worker` CPU cores."""

    device: str
    workers: int
    cores_per_worker: int


def require_reachable(address: str | None) -> None:
    """SpecError where nobody answers at HOST:PORT within a few seconds; Ray itself would try for minutes."""
    host, separator, port = (address or "").rpartition("://")[2].rpartition(":")
    if not separator or not port.isdigit():
        return  # `auto` and `local` are looked up by Ray
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SpecError(
            f"address {address}: nobody answers there ({error}); start a cluster with `ray start`"
        ) from error


@contextlib.contextmanager
def connected(spec: JobSpec) -> Iterator[Resources]:
    """Be connected to Ray. SpecError where the cluster cannot be reached or has no GPU although some were asked for."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 starves CPU workers beside any other program
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    options: dict[str, object] = {"address": spec.address} if spec.address else _local_options(spec)
    packages = [os.path.dirname(str(package.__file__)) for package in (manifests, attention, workers)]
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # notices of Ray's own, not of the job
            ray.init(
                **options,
                runtime_env={"py_modules": packages},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = spec.address or "on this machine"
        raise SpecError(f"Ray {where}: cannot be reached: {one_line(error, 300)}{_remedy(spec, error)}") from error
    try:
        yield _resources(spec, ray.cluster_resources())
    finally:
        ray.shutdown()


def _remedy(spec: JobSpec, error: Exception) -> str:
    if "ersion mismatch" in str(error):
        return "; use the Ray and Python that the cluster has, or `renderay submit`"
    if spec.address and "RAY_AUTH_MODE" not in os.environ:  # Ray's error does not say that a token is missing
        return "; if the cluster asks for a token, set RAY_AUTH_MODE=token"
    return ""


def _local_options(spec: JobSpec) -> dict[str, object]:
    options: dict[str, object] = {
        "address": "local",
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
    }
    cores = len(os.sched_getaffinity(0))
    options["num_cpus"] = max(cores, spec.workers or 0)
    return options


def local_device(spec: JobSpec) -> str | None:
    """ "cpu" where a job on this machine is sure to render on CPUs; None where that is for Ray to find out."""
    may_have_gpu = spec.gpus != 0 and any(map(os.path.exists, _GPU_DRIVERS))
    return None if may_have_gpu else "cpu"


def require_gpu(spec: JobSpec, found: int) -> None:
    """SpecError where the job asks for GPUs and none was found."""
    if spec.gpus and found < 1:
        raise SpecError(f"gpus {spec.gpus}: Ray sees no GPU here; leave --gpus out, or give --address of a cluster")


def _resources(spec: JobSpec, cluster: dict[str, float]) -> Resources:
    gpus, cpus = int(cluster.get("GPU", 0)), int(cluster.get("CPU", 1))
    require_gpu(spec, gpus)
    if gpus and spec.gpus != 0:
        if gpus < spec.gpus_per_worker:
            raise SpecError(f"gpus_per_worker {spec.gpus_per_worker}: Ray sees {gpus} GPU; leave --gpus-per-worker out")
        workers_wanted = spec.workers or max(1, (spec.gpus or gpus) // spec.gpus_per_worker)
        return Resources("cuda", workers_wanted, max(1, cpus // max(1, gpus)))
    return Resources("cpu", spec.workers or max(1, cpus), 1)


def secrets() -> dict[str, str]:
    """Credentials of this process that workers on other machines need; they travel in memory, never in a file."""
    return {name: value for name, value in os.environ.items() if name in _SECRETS or name.startswith(_SECRET_PREFIXES)}
