"""`renderay attention`: every backend, whether it works on this machine, why not, and the line that installs it."""

from __future__ import annotations

import contextlib
import io
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from attention import BACKENDS, Finding, examine
from attention.backends import DEVICES

_HEAD_SIZE = 128  # of FLUX.1, FLUX.2, Qwen-Image and most other large models
CPU = "CPU"
_SEVERAL = 3  # backends that share a reason before they share a line
_HEADER = ("backend", "usable", "exact", "masks", "compiles", "")


@dataclass(frozen=True)
class AttentionTable:
    """What was found on one machine, where the kernels that could be were tried with `dtype` and `head_size`."""

    device: str  # the GPU's name, or CPU
    dtype: str
    head_size: int
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "device": self.device,
            "dtype": self.dtype,
            "head_size": self.head_size,
            "backends": [_plain(finding) for finding in self.findings],
        }

    def text(self, every: bool = False) -> str:
        """For people: a line a backend, never wrapped; those unusable for one reason in one line, unless `every`."""
        groups = {} if every else self._groups()
        grouped = {name for names in groups.values() for name in names}
        rows = [_HEADER, *(_row(finding) for finding in self.findings if finding.backend.name not in grouped)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(_HEADER) - 1)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
            for row in rows
        ]
        lines += [f"{len(names)} more, {reason}: {', '.join(names)}" for reason, names in groups.items()]
        if groups:
            lines.append("--all: a line for each, with what installs it")
        return "\n".join([f"tried on {self.device}, {self.dtype}, heads of {self.head_size}", *lines])

    def _groups(self) -> dict[str, list[str]]:
        """Names of backends by why they are unusable: those for other devices, and several that lack the same."""
        here = "cpu" if self.device == CPU else "cuda"
        elsewhere: defaultdict[str, list[str]] = defaultdict(list)
        lacking: defaultdict[str, list[str]] = defaultdict(list)
        for backend, finding in ((each.backend, each) for each in self.findings if each.usable is False):
            if here in backend.devices:
                lacking[f"unusable, {finding.reason}"].append(backend.name)
            else:
                elsewhere[f"for {DEVICES[backend.devices[0]]} only"].append(backend.name)
        return elsewhere | {reason: names for reason, names in lacking.items() if len(names) >= _SEVERAL}


def survey_backends() -> AttentionTable:
    """Try every backend of the catalogue on this machine's first GPU, or on its CPU. Downloads nothing."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = "bfloat16" if device == "cuda" else "float32"
    with _quiet():
        findings = tuple(examine(backend, device, dtype, _HEAD_SIZE) for backend in BACKENDS.values())
    name = torch.cuda.get_device_name() if device == "cuda" else CPU
    return AttentionTable(name, dtype, _HEAD_SIZE, findings)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Notices of the libraries about themselves; what they raise is caught where they are tried."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _plain(finding: Finding) -> dict[str, Any]:
    backend = finding.backend
    return {
        "name": backend.name,
        "usable": finding.usable,
        "reason": finding.reason,
        "install": finding.install,
        "error": finding.error,
        "exact": backend.exact,
        "masks": backend.masks,
        "compiles": _compiles(finding),
        "auto": backend.contends,
        "package": backend.package,
        "at_least": backend.at_least,
        "capability": [".".join(map(str, end)) for end in backend.capability],
        "dtypes": list(backend.dtypes),
        "max_head": backend.max_head,
        "head_multiple": backend.head_multiple,
        "diffusers": backend.dispatch,
    }


def _row(finding: Finding) -> tuple[str, ...]:
    backend = finding.backend
    usable = {True: "yes", False: "no", None: "by name"}[finding.usable]
    return (backend.name, usable, _yes(backend.exact), _yes(backend.masks), _compiles(finding), finding.reason)


def _compiles(finding: Finding) -> str:
    return "traced" if finding.backend.traced else "one operator"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
