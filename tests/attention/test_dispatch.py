"""What ran is counted where it runs."""

from __future__ import annotations

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import _get_current_dispatch_mode

from attention import KernelCount, use_backend


class Attention(torch.nn.Module):
    """`layers` calls of torch's attention on (B, heads, tokens, width)."""

    def __init__(self, layers: int = 1, heads: int = 2) -> None:
        super().__init__()
        self.layers, self.heads = layers, heads

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        for _ in range(self.layers):
            tokens = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return tokens


TOKENS = torch.randn(1, 2, 8, 16)


@pytest.mark.parametrize(
    ("backend", "name"), [(SDPBackend.FLASH_ATTENTION, "sdpa-flash"), (SDPBackend.MATH, "sdpa-math")]
)
def test_the_kernel_that_torch_picked_is_named(backend: SDPBackend, name: str) -> None:
    module = Attention(layers=3)
    with KernelCount(module) as count, sdpa_kernel(backend), torch.no_grad():
        module(TOKENS)
    assert count.names == {name: 3} and count.backend == name


def test_only_the_first_forward_of_the_module_is_watched() -> None:
    module, other = Attention(layers=2), Attention()
    with KernelCount(module) as count, torch.no_grad():
        other(TOKENS)
        module(TOKENS)
        module(TOKENS)
        other(TOKENS)
    assert sum(count.names.values()) == 2


def test_two_kernels_are_both_named_and_none_is_unknown() -> None:
    class Mixed(Attention):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            with sdpa_kernel(SDPBackend.MATH):
                tokens = super().forward(tokens)
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                return super().forward(tokens)

    mixed, linear = Mixed(), torch.nn.Linear(16, 16)
    with KernelCount(mixed) as count, torch.no_grad():
        mixed(TOKENS)
    assert count.backend == "sdpa-flash+sdpa-math"
    with KernelCount(linear) as nothing:
        linear(TOKENS)
    assert nothing.backend == "unknown"


def test_counting_changes_no_bit_and_leaves_nothing_behind() -> None:
    module = Attention(layers=2)
    with torch.no_grad():
        expected = module(TOKENS)
        with KernelCount(module):
            assert torch.equal(module(TOKENS), expected)
    assert not module._forward_hooks and not module._forward_pre_hooks
    assert _get_current_dispatch_mode() is None


def test_a_forward_that_raises_leaves_nothing_behind() -> None:
    module = Attention()
    with pytest.raises(RuntimeError), KernelCount(module):
        module(torch.zeros(1, 2, 3, 4, dtype=torch.int32))
    assert not module._forward_hooks and not module._forward_pre_hooks
    assert _get_current_dispatch_mode() is None


@pytest.fixture(scope="module")
def denoiser() -> FluxTransformer2DModel:
    torch.manual_seed(0)
    return FluxTransformer2DModel(
        num_layers=1, num_single_layers=2, num_attention_heads=2, attention_head_dim=16, joint_attention_dim=32,
        pooled_projection_dim=32, axes_dims_rope=(4, 6, 6), in_channels=64,
    ).eval()  # fmt: skip


@pytest.mark.parametrize(("name", "ran"), [("sdpa", "sdpa-flash"), ("sdpa-math", "sdpa-math"), ("sdpa", "sdpa-flash")])
def test_every_layer_of_a_real_denoiser_uses_the_backend_put_in(
    denoiser: FluxTransformer2DModel, name: str, ran: str
) -> None:
    use_backend(denoiser, name)
    with KernelCount(denoiser) as count, torch.no_grad():
        denoiser(
            hidden_states=torch.randn(1, 16, 64), encoder_hidden_states=torch.randn(1, 4, 32),
            pooled_projections=torch.randn(1, 32), timestep=torch.tensor([0.5]),
            img_ids=torch.zeros(16, 3), txt_ids=torch.zeros(4, 3),
        )  # fmt: skip
    assert count.names == {ran: 3}
