"""Put a backend into a model: each attention layer of its own, through diffusers' dispatcher.

    layer ──> dispatch_attention_fn ──> ours, one per backend ──> torch's kernels, seen by the compiler
                                           │                 └──> renderay::NAME, one operator
                                           └──> refuses what the kernel would ignore or get wrong

`set_attention_backend` of diffusers is not used: it also flips a default of the whole process, and knows no names but
its own. Left to itself the dispatcher drops arguments that a kernel does not take.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from attention.backends import BACKENDS, Backend
from attention.operators import diffusers_function, operator, refusal
from manifests.errors import AttentionError

if TYPE_CHECKING:
    import torch

_USUAL_HEAD = 64


def use_backend(denoiser: torch.nn.Module, name: str) -> None:
    """Make every attention layer of a diffusers model that can be told its backend use the named one.

    AttentionError where none can, unless torch is to pick, which it does anyway.
    """
    layers = attention_layers(denoiser)
    if not layers and name != "sdpa":
        raise AttentionError(
            f"attention {name}: no attention layer of {type(denoiser).__name__} asks diffusers' dispatcher, so none "
            f"can be given a backend; use --attention auto or sdpa"
        )
    member = dispatched(name)
    for layer in layers:
        layer.processor._attention_backend = member


def attention_layers(denoiser: torch.nn.Module) -> list[Any]:
    """The modules whose processor asks diffusers' dispatcher for a backend."""
    return [
        module for module in denoiser.modules() if hasattr(getattr(module, "processor", None), "_attention_backend")
    ]


def head_sizes(denoiser: torch.nn.Module) -> set[int]:
    """The head sizes of a model's attention layers, one usual size where it does not tell."""
    found = set()
    for layer in attention_layers(denoiser):
        heads, width = getattr(layer, "heads", 0), getattr(layer, "inner_dim", 0)
        size = getattr(layer, "head_dim", 0) or (width // heads if heads else 0)
        found |= {int(size)} if size else set()
    return found or {_USUAL_HEAD}


def dispatched(name: str) -> Any:
    """The member of diffusers' AttentionBackendName that stands for one of our backends.

    The dispatcher takes no name that is no member of that enumeration, hence the new members. All are made at once:
    compiled code depends on how many backends the dispatcher has, and would be compiled anew for one more.
    """
    return {each: _register(each) for each in BACKENDS}[name]


@cache
def _register(name: str) -> Any:
    from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

    value = f"renderay:{name}"
    member = str.__new__(AttentionBackendName, value)
    member._name_ = member._value_ = value
    AttentionBackendName._value2member_map_[value] = member
    _AttentionBackendRegistry.register(member)(_attend(BACKENDS[name]))
    return member


def _attend(backend: Backend) -> Callable[..., torch.Tensor]:
    """What the dispatcher calls for a backend. The dispatcher drops arguments that are not named here."""
    run = diffusers_function(backend.name) if backend.traced else operator(backend.name)
    refuse, name, masks, traced = refusal(), backend.name, backend.masks, backend.traced

    def attend(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
        return_lse: bool = False,
        window_size: Any = None,
        _parallel_config: Any = None,
    ) -> torch.Tensor:
        if attn_mask is not None and not masks:
            return refuse(query, value, _NO_MASK.format(name))
        asked = {"return_lse": return_lse, "window_size": window_size, "context parallelism": _parallel_config}
        if not traced:
            asked |= {"dropout_p": dropout_p, "is_causal": is_causal, "enable_gqa": enable_gqa}
        for argument, what in asked.items():
            if what:
                return refuse(query, value, _NOT_PASSED_ON.format(name, argument))
        if attn_mask is not None and attn_mask.shape == (query.shape[0], key.shape[1]):
            attn_mask = attn_mask[:, None, None, :]  # (B, S) would be taken for (S, S)
        if not traced:
            return run(query, key, value, attn_mask, scale)
        return run(
            query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale,
            enable_gqa=enable_gqa,
        )  # fmt: skip

    return attend


_NO_MASK = (
    "attention {}: the model masks part of its tokens (prompts of unequal length in one batch), and this kernel takes "
    "no mask; use --batch-size 1, or --attention sdpa"
)
_NOT_PASSED_ON = "attention {}: the model asks for {}, which this kernel would ignore; use --attention sdpa"
