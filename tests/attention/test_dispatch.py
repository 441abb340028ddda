"""A backend put into a model is the one its layers use, compiled or not, and gets nothing that it would ignore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from diffusers.models import attention_dispatch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry, dispatch_attention_fn
from torch._dynamo.utils import counters

from attention import BACKENDS, KernelCount, head_sizes, use_backend
from attention.dispatch import attention_layers, dispatched
from manifests.errors import AttentionError
from tests.attention.conftest import plain_attention

Inputs = dict[str, Any]


def denoised(model: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "ran"), [("sdpa", "sdpa-flash"), ("sdpa-math", "sdpa-math"), ("sdpa-flash", "sdpa-flash")]
)
def test_every_layer_of_a_real_denoiser_uses_the_backend_put_in(
    flux: FluxTransformer2DModel, flux_inputs: Inputs, name: str, ran: str
) -> None:
    use_backend(flux, name)
    with KernelCount(flux) as count:
        denoised(flux, flux_inputs)
    assert count.names == {ran: 3} and count.bypass(name) is None
    assert head_sizes(flux) == {16} and len(attention_layers(flux)) == 3


def test_torchs_own_choice_is_bit_for_bit_what_diffusers_does(
    flux: FluxTransformer2DModel, flux_inputs: Inputs
) -> None:
    expected = denoised(flux, flux_inputs)
    use_backend(flux, "sdpa")
    assert torch.equal(denoised(flux, flux_inputs), expected)


def test_layers_may_differ_and_the_process_keeps_its_default(flux: FluxTransformer2DModel, flux_inputs: Inputs) -> None:
    before = _AttentionBackendRegistry.get_active_backend()
    use_backend(flux, "sdpa")
    use_backend(flux.single_transformer_blocks[1], "sdpa-math")
    with KernelCount(flux) as count:
        denoised(flux, flux_inputs)
    assert count.names == {"sdpa-flash": 2, "sdpa-math": 1} and count.backend == "sdpa-flash+sdpa-math"
    assert _AttentionBackendRegistry.get_active_backend() == before
    said = "1 of 3 attention calls bypass sdpa-flash: 1 by sdpa-math (first in single_transformer_blocks.1.attn)"
    assert count.bypass("sdpa-flash") == said


def test_a_model_whose_layers_cannot_be_told_refuses_what_it_would_not_use() -> None:
    from diffusers.models.attention_processor import Attention

    old = torch.nn.Sequential(Attention(32, heads=2, dim_head=16))
    use_backend(old, "sdpa")
    with pytest.raises(AttentionError, match="attention sdpa-math: no attention layer of Sequential asks"):
        use_backend(old, "sdpa-math")


def test_a_librarys_kernel_gets_the_models_tensors_and_its_scale(library: Callable[..., str]) -> None:
    name = library("returns_a_pair", lambda *arguments: (plain_attention(*arguments), "log-sum-exp"))
    query, key = torch.randn(2, 5, 3, 16), torch.randn(2, 7, 3, 16)
    for scale in (None, 0.5):
        expected = dispatch_attention_fn(query, key, key, scale=scale, backend=dispatched("sdpa"))
        assert torch.allclose(dispatch_attention_fn(query, key, key, scale=scale, backend=dispatched(name)), expected)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_mask_that_a_kernel_does_not_take_is_an_error_and_never_dropped(
    library: Callable[..., str], qwen: QwenImageTransformer2DModel, qwen_inputs: Inputs, compiled: bool
) -> None:
    use_backend(qwen, library("maskless", lambda q, k, v, mask, scale: plain_attention(q, k, v, None, scale)))
    if compiled:
        for block in qwen.transformer_blocks:
            block.compile(backend="aot_eager", fullgraph=True, dynamic=False)
    with pytest.raises(AttentionError, match=r"attention maskless: the model masks part .*--batch-size 1"):
        denoised(qwen, qwen_inputs)


@pytest.mark.parametrize("name", [name for name, backend in BACKENDS.items() if not backend.masks])
def test_no_backend_that_would_get_a_mask_wrong_is_handed_one(name: str) -> None:
    query = torch.randn(2, 5, 3, 16)
    for mask in (torch.ones(2, 5, dtype=torch.bool), torch.ones(2, 1, 1, 5, dtype=torch.bool)):
        with pytest.raises(AttentionError, match="takes no mask"):
            dispatch_attention_fn(query, query, query, attn_mask=mask, backend=dispatched(name))


def packed_attention(q: Any, k: Any, v: Any, cu_seqlens_q: Any, cu_seqlens_k: Any, softmax_scale: Any, **_: Any) -> Any:
    """What a variable-length kernel computes: each sequence of a packed (tokens, heads, size) tensor by itself."""
    sequences = zip(cu_seqlens_q, cu_seqlens_q[1:], cu_seqlens_k, cu_seqlens_k[1:], strict=False)
    parts = [
        plain_attention(q[None, a:b], k[None, c:d], v[None, c:d], None, softmax_scale)[0] for a, b, c, d in sequences
    ]
    return torch.cat(parts)


def test_the_wrong_answer_path_of_padding_between_text_and_image_is_shut(
    qwen: QwenImageTransformer2DModel, qwen_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_backend(qwen, "sdpa")
    right = denoised(qwen, qwen_inputs)
    monkeypatch.setattr(attention_dispatch, "_CAN_USE_FLASH_ATTN", True)
    monkeypatch.setattr(attention_dispatch, "flash_attn_varlen_func", packed_attention)
    for layer in attention_layers(qwen):
        layer.processor._attention_backend = attention_dispatch.AttentionBackendName.FLASH_VARLEN
    unmasked = qwen_inputs | {"encoder_hidden_states_mask": None}
    packed = denoised(qwen, unmasked)
    use_backend(qwen, "sdpa")
    assert torch.allclose(packed, denoised(qwen, unmasked), atol=1e-5), "the stand-in kernel is right"
    for layer in attention_layers(qwen):
        layer.processor._attention_backend = attention_dispatch.AttentionBackendName.FLASH_VARLEN
    assert (denoised(qwen, qwen_inputs) - right)[0].norm() > 1e-3 * right[0].norm(), "diffusers alone: wrong, silently"
    use_backend(qwen, "flash_varlen")
    with pytest.raises(AttentionError, match="takes no mask"):
        denoised(qwen, qwen_inputs)


@pytest.mark.parametrize("name", ["sdpa", "sdpa-math"])
def test_backends_that_take_masks_take_them_rightly(
    qwen: QwenImageTransformer2DModel, qwen_inputs: Inputs, name: str
) -> None:
    use_backend(qwen, name)
    alone = {key: value[:1] for key, value in qwen_inputs.items()}
    alone["encoder_hidden_states"] = alone["encoder_hidden_states"][:, :3]
    alone["encoder_hidden_states_mask"] = None
    assert torch.allclose(denoised(qwen, qwen_inputs)[:1], denoised(qwen, alone), atol=1e-5)
    query, keys = torch.randn(5, 5, 3, 16), torch.ones(5, 5, dtype=torch.bool)
    keys[0, 3:] = False
    found = dispatch_attention_fn(query, query, query, attn_mask=keys, backend=dispatched(name))
    short = query[:1, :3]
    assert torch.allclose(
        found[:1], dispatch_attention_fn(query[:1], short, short, backend=dispatched(name)), atol=1e-6
    ), "(B, S) is a mask of keys, also where B equals S"


@pytest.mark.parametrize(
    "asked", [{"is_causal": True}, {"dropout_p": 0.5}, {"attention_kwargs": {"window_size": (4, 4)}}]
)
def test_an_argument_that_a_kernel_would_ignore_is_an_error(library: Callable[..., str], asked: dict[str, Any]) -> None:
    name = library("ignorant", plain_attention)
    query = torch.randn(1, 5, 3, 16)
    with pytest.raises(AttentionError, match="which this kernel would ignore"):
        dispatch_attention_fn(query, query, query, backend=dispatched(name), **asked)


def test_a_librarys_kernel_compiles_without_a_graph_break_and_is_compiled_once(
    library: Callable[..., str], flux: FluxTransformer2DModel, flux_inputs: Inputs
) -> None:
    names = [library("kernel_a", plain_attention), "sdpa", "sdpa-math"]
    use_backend(flux, "sdpa")
    counters.clear()
    expected = denoised(flux, flux_inputs)
    for block in [*flux.transformer_blocks, *flux.single_transformer_blocks]:
        block.compile(backend="aot_eager", fullgraph=True, dynamic=False)
    for name in [*names, *names]:
        use_backend(flux, name)
        with KernelCount(flux) as count:
            assert torch.allclose(denoised(flux, flux_inputs), expected, atol=1e-5)
        assert count.names == {"sdpa-flash" if name == "sdpa" else name: 3}
    # a double block, and a single block twice: what the second gets is a view of other strides
    assert counters["stats"]["unique_graphs"] == 3 * len(names)
