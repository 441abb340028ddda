"""Attention: which kernels exist, which work here, and putting one into a model.

    backends.py  the catalogue, and whether a backend can be used on this machine
    dispatch.py  put a backend into a model; count the kernels that ran

Rule: nothing here imports Ray, a worker or a job; what a row says ran was counted at dispatch.
"""

from __future__ import annotations

from attention.backends import AUTO, BACKENDS, Backend, choose, require_usable
from attention.dispatch import KernelCount, use_backend

__all__ = ["AUTO", "BACKENDS", "Backend", "KernelCount", "choose", "require_usable", "use_backend"]
