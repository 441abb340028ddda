"""The fastest exact backend for a model on this GPU, by measurement.

    every usable exact backend ──alone, at the model's own shape──> the near fastest ──inside the model──> the fastest

Alone a kernel is timed in milliseconds, but what it costs inside a model also has copies around it, which the compiler
may or may not fuse: so those that could win are timed there too, in turns, so that a GPU's drift meets all alike.
"""

from __future__ import annotations

import logging
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from attention.backends import BACKENDS
from attention.counting import Call
from attention.dispatch import dispatched
from attention.usable import examine, installed_version
from manifests.errors import named_line

NEAR_BEST_ALONE = 1.5  # times the fastest kernel's time: slower ones do not win inside a model
NEAR_BEST = 1.001  # of those this close to the fastest inside the model, the first in the catalogue
_SECONDS = 8.0  # of measuring inside the model, about, beyond compilation

log = logging.getLogger("renderay.attention")


@dataclass(frozen=True)
class Choice:
    """A backend, and why.

    `alone` is ms of one call, `inside` ms of one forward of the denoiser; `left_out` says why a usable backend was not
    timed there, `unusable` why others cannot be used here.
    """

    backend: str
    alone: dict[str, float] = field(default_factory=dict)
    inside: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)

    def reason(self) -> str:
        """What was measured, in one line."""
        timed = ", ".join(f"{name} {ms:.1f}" for name, ms in sorted(self.inside.items(), key=lambda item: item[1]))
        parts = [f"ms a forward of the denoiser: {timed}", *(f"{name}: {why}" for name, why in self.left_out.items())]
        if self.unusable:
            parts.append(f"not usable here: {', '.join(self.unusable)}")
        return "; ".join(parts)

    def table(self) -> str:
        """What was measured, a line a backend."""
        lines = [f"{'backend':16}{'alone ms':>10}{'in model ms':>13}"]
        reasons = self.left_out | self.unusable
        for name in dict.fromkeys([*self.inside, *self.alone, *reasons]):
            alone = f"{self.alone[name]:.3f}" if name in self.alone else "-"
            inside = f"{self.inside[name]:.2f}" if name in self.inside else "-"
            mark = "  chosen" if name == self.backend else f"  {reasons.get(name, '')}".rstrip()
            lines.append(f"{name:16}{alone:>10}{inside:>13}{mark}")
        return "\n".join(lines)


def contenders(device: str, dtype: str, head_sizes: Iterable[int]) -> tuple[list[str], dict[str, str]]:
    """The backends `auto` may choose among here, tried at these head sizes; and why not the others that are exact.

    Never an approximate one, never a download.
    """
    usable, unusable = [], {}
    for backend in BACKENDS.values():
        if backend.contends:
            found = [examine(backend, device, dtype, size) for size in sorted(head_sizes)]
            why = next((each.reason for each in found if not each.usable), None)
            if why is None:
                usable.append(backend.name)
            else:
                unusable[backend.name] = why
    return usable, unusable


def versions() -> dict[str, str]:
    """The installed version of every package that could bring a contender."""
    found = {b.package: v for b in BACKENDS.values() if b.contends and b.package and (v := installed_version(b))}
    return dict(sorted(found.items()))


def choose_fastest(
    usable: Sequence[str],
    unusable: dict[str, str],
    time_alone: Callable[[str], float],
    time_inside: Callable[[str], float],
) -> Choice:
    """Time the usable backends and keep the fastest.

    `time_alone(name)` gives ms of one call. `time_inside(name)` gives ms of one forward of the model; its first call
    for a name, which may compile, does not count. A backend that raises in either is left out.
    """
    left_out: dict[str, str] = {}
    alone = _timed(usable, time_alone, left_out)
    near = [name for name in alone if alone[name] <= min(alone.values()) * NEAR_BEST_ALONE]
    left_out |= {
        name: f"alone {ms / min(alone.values()):.1f} times the fastest's time"
        for name, ms in alone.items()
        if name not in near
    }
    warm = _timed(near, time_inside, left_out)
    first = _timed(warm, time_inside, left_out)
    if not first:
        raise RuntimeError(f"no attention backend runs in this model: {left_out | unusable}")
    rounds = max(5, min(15, int(_SECONDS * 1e3 / sum(first.values()))))
    times: dict[str, list[float]] = {name: [] for name in first}
    for _ in range(rounds):
        for name, timed in times.items():
            timed.append(time_inside(name))
    inside = {name: statistics.median(timed) for name, timed in times.items()}
    best = next(name for name, ms in inside.items() if ms <= min(inside.values()) * NEAR_BEST)
    choice = Choice(best, alone, inside, left_out, unusable)
    log.info("attention auto, %d rounds:\n%s", rounds, choice.table())
    return choice


def _timed(names: Iterable[str], time: Callable[[str], float], left_out: dict[str, str]) -> dict[str, float]:
    """The time of each; one that raises goes to `left_out`."""
    found = {}
    for name in names:
        try:
            found[name] = time(name)
        except Exception as error:  # whatever a library raises, another backend may do
            left_out[name] = named_line(error, 120)
            log.warning("attention auto: %s fails: %s", name, left_out[name])
    return found


def heaviest(calls: Iterable[Call]) -> Call:
    """The call whose kind takes most of a model's attention: counts times queries times keys.

    Of torch's fused kernels alone, whose tensors are (B, H, S, D); arithmetic shows its scores. ValueError where the
    model calls none.
    """
    counted = Counter((call.query, call.key) for call in calls if call.backend != "sdpa-math")
    if not counted:
        raise ValueError("the model calls no attention kernel that can be counted")

    def work(kind: tuple[tuple[int, ...], tuple[int, ...]]) -> int:
        (batch, heads, queries, size), (*_, keys, _size) = kind
        return counted[kind] * batch * heads * queries * keys * size

    query, key = max(counted, key=work)
    return Call("", "", query, key)


def time_alone_at(call: Call, dtype: str) -> Callable[[str], float]:
    """A function from a backend's name to ms of one call at that shape, on random tensors, on the current GPU."""
    import torch
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    (batch, heads, queries, size), (*_, keys, _size) = call.query, call.key

    def tensor(tokens: int) -> torch.Tensor:
        return torch.randn(batch, tokens, heads, size, device="cuda", dtype=getattr(torch, dtype))

    query, key, value = tensor(queries), tensor(keys), tensor(keys)

    def time(name: str) -> float:
        def run() -> Any:
            return dispatch_attention_fn(query, key, value, backend=dispatched(name))

        cuda_ms(run, 2)
        return cuda_ms(run, 10)

    return time


def cuda_ms(run: Callable[[], Any], times: int = 1) -> float:
    """Median device time of a call in ms, on the current GPU."""
    import torch

    marks = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    with torch.no_grad():
        marks[0].record()
        for mark in marks[1:]:
            run()
            mark.record()
    marks[-1].synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in pairwise(marks))
