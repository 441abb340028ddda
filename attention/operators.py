"""The libraries' kernels as operators of torch, `renderay::NAME`.

As an operator a kernel is one node to torch.compile, which then breaks no graph over it, and is seen by whoever counts
what ran, compiled or not. Shapes: (B, S, H, D) in and out: batch, tokens, heads, head size; keys may have other S.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from attention.backends import BACKENDS
from manifests.errors import AttentionError

if TYPE_CHECKING:
    import torch

OPERATORS: dict[str, str] = {}  # full name of an operator -> its backend, once it is defined
Kernel = Callable[..., Any]  # (query, key, value, mask, scale) -> output; mask is None but for kernels that take one


@cache
def operator(backend: str) -> Any:
    """The operator (query, key, value, mask, scale) -> output, contiguous; its library loads at the first call."""

    @cache
    def library() -> Kernel:
        return _LIBRARIES.get(backend, lambda: _from_diffusers(backend))()

    def run(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float | None
    ) -> torch.Tensor:
        found = library()(query, key, value, mask, scale)
        output: torch.Tensor = found[0] if isinstance(found, tuple) else found  # some return the log-sum-exp too
        return output.contiguous()

    def fake(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, scale: Any) -> torch.Tensor:
        return query.new_empty((*query.shape[:-1], value.shape[-1]))

    schema = "(Tensor query, Tensor key, Tensor value, Tensor? mask, float? scale) -> Tensor"
    name = backend.replace("-", "_")
    OPERATORS[f"renderay.{name}"] = backend
    return _define(name, schema, run, fake)


@cache
def refusal() -> Any:
    """The operator (query, value, reason) that raises AttentionError.

    An operator, because an exception that the compiler meets while it traces comes out as one of the compiler's own.
    """

    def refuse(query: torch.Tensor, value: torch.Tensor, reason: str) -> torch.Tensor:
        raise AttentionError(reason)

    def fake(query: torch.Tensor, value: torch.Tensor, reason: str) -> torch.Tensor:
        return query.new_empty((*query.shape[:-1], value.shape[-1]))

    return _define("refuse", "(Tensor query, Tensor value, str reason) -> Tensor", refuse, fake)


def _define(name: str, schema: str, run: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    import torch

    torch.library.custom_op(f"renderay::{name}", run, mutates_args=(), schema=schema).register_fake(fake)
    return getattr(torch.ops.renderay, name).default


def _flash() -> Kernel:
    from flash_attn import flash_attn_func

    return lambda query, key, value, _, scale: flash_attn_func(query, key, value, softmax_scale=scale)


def _flash3() -> Kernel:
    from flash_attn_interface import flash_attn_func

    return lambda query, key, value, _, scale: flash_attn_func(query, key, value, softmax_scale=scale)


def _flash4() -> Kernel:
    from flash_attn.cute import flash_attn_func

    return lambda query, key, value, _, scale: flash_attn_func(query, key, value, softmax_scale=scale)


def _flex() -> Kernel:
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    compiled = torch.compile(flex_attention, dynamic=False)  # as it stands it would write out every score
    # The first run of compiled code around it is under a mode of its thread, in which nothing else can be compiled.
    thread = ThreadPoolExecutor(1, "flex")

    def run(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _: Any, scale: float | None) -> torch.Tensor:
        with torch.no_grad():
            output: torch.Tensor = compiled(*(each.transpose(1, 2) for each in (query, key, value)), scale=scale)
        return output.transpose(1, 2)

    return lambda *arguments: thread.submit(run, *arguments).result()


def _from_diffusers(backend: str) -> Kernel:
    function = diffusers_function(backend)

    def run(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float | None
    ) -> Any:
        masked = {} if mask is None else {"attn_mask": mask}
        return function(query=query, key=key, value=value, scale=scale, **masked)

    return run


def diffusers_function(backend: str) -> Callable[..., Any]:
    """What diffusers' dispatcher would call for a backend, fetched from the hub where it lives there."""
    from diffusers.models import attention_dispatch as dispatcher

    member = dispatcher.AttentionBackendName(BACKENDS[backend].dispatch)
    dispatcher._check_attention_backend_requirements(member)
    if BACKENDS[backend].hub:
        dispatcher._maybe_download_kernel_for_backend(member)
    function: Callable[..., Any] = dispatcher._AttentionBackendRegistry._backends[member]
    return function


_LIBRARIES: dict[str, Callable[[], Kernel]] = {"flash": _flash, "flash3": _flash3, "flash4": _flash4, "flex": _flex}
