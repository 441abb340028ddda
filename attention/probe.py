"""Try a kernel on the device at hand, against fp32 arithmetic: an import that succeeds proves nothing.

The kernel is reached the way a model's layers reach it. Shapes: (B, S, H, D) batch, tokens, heads, head size.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from attention.backends import BACKENDS
from attention.dispatch import dispatched
from manifests.errors import named_line

if TYPE_CHECKING:
    import torch

# Largest |output - exact| / |exact| (Euclidean norms over the whole output) that rounding explains. A kernel keeps
# inputs, probabilities and output in its dtype, each within half of 2^-8 (bfloat16), 2^-11 (float16) or 2^-24 of the
# value; together they stay below twice that step, and fp32 gets room for other orders of summation and for TF32 parts.
ERROR_BOUND = {"bfloat16": 2 * 2**-8, "float16": 2 * 2**-11, "float32": 1e-4}
INEXACT_BOUND = 0.1  # eight-bit kernels stay near 0.03; a kernel that is wrong is off by 1

_BATCH, _QUERIES, _KEYS, _HEADS = 2, 333, 269, 4  # no multiples of any tile

_broken_by: list[str] = []


@dataclass(frozen=True)
class Probe:
    """What came of trying a kernel. `error` is relative to fp32, None where it did not run."""

    works: bool
    reason: str
    error: float | None = None


@cache
def probe(name: str, device: str, dtype: str, head_size: int) -> Probe:
    """Run a backend once on random tensors, and compare. Once per process for the same arguments.

    `device` is "cpu" or "cuda", `dtype` torch's name of a type, `head_size` that of the model.
    """
    import torch

    if _broken_by and device == "cuda":
        return Probe(False, f"not tried: {_broken_by[0]} left this process unable to use the GPU")
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = relative_error(name, device, getattr(torch, dtype), head_size)
    except Exception as raised:  # whatever a library raises, it does not work here
        _note_broken(name, device)
        return Probe(False, f"it does not run here: {named_line(raised, 200)}")
    bound = ERROR_BOUND[dtype] if BACKENDS[name].exact else INEXACT_BOUND
    said = f"error {error:.1e} against fp32, {dtype}, heads of {head_size}"
    if not error <= bound:  # NaN too
        return Probe(False, f"it computes wrongly here: {said}, must be at most {bound:.1e}", error)
    return Probe(True, said, error)


def _note_broken(name: str, device: str) -> None:
    """An error that stays with the CUDA context would be blamed on every later kernel."""
    import torch

    if device == "cuda":
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            _broken_by.append(name)


def relative_error(name: str, device: str, dtype: torch.dtype, head_size: int) -> float:
    """|output - exact| / |exact| of one call, in Euclidean norms; `exact` is fp32 arithmetic on the same inputs."""
    import torch
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    generator = torch.Generator("cpu").manual_seed(0)

    def tensor(tokens: int) -> torch.Tensor:
        values = torch.randn(_BATCH, tokens, _HEADS, head_size, generator=generator)
        return values.to(dtype).to(device)

    query, key, value = tensor(_QUERIES), tensor(_KEYS), tensor(_KEYS)
    output = dispatch_attention_fn(query, key, value, backend=dispatched(name)).float().cpu()
    exact = exact_attention(*(each.float().cpu() for each in (query, key, value)))
    return float((output - exact).norm() / exact.norm())


def exact_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / sqrt(D)) V, written out; (B, S, H, D) in and out, in the dtype of the inputs."""
    import torch

    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(dim=-1), value)
