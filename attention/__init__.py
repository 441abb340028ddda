"""Attention: which kernels exist, which work here, and putting one into a model.

    backends.py   the catalogue: names and needs
    usable.py     whether a backend can be used here, or why not
    probe.py      trying a kernel against fp32
    operators.py  the libraries' kernels as operators of torch
    dispatch.py   put a backend into a model
    counting.py   count the kernels that ran
    auto.py       the fastest exact one, by measurement    memory.py    what was measured before

Rule: nothing here imports Ray, a worker or a job; what a row says ran was counted at dispatch.
"""

from __future__ import annotations

from attention.backends import AUTO, BACKENDS, Backend
from attention.counting import KernelCount
from attention.dispatch import head_sizes, use_backend
from attention.usable import Finding, examine, require_known, require_usable, require_working

__all__ = [
    "AUTO",
    "BACKENDS",
    "Backend",
    "Finding",
    "KernelCount",
    "examine",
    "head_sizes",
    "require_known",
    "require_usable",
    "require_working",
    "use_backend",
]
