"""Small models whose layers ask diffusers' dispatcher, and kernels that stand in for a library's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel

from attention import BACKENDS, Backend, operators
from attention.backends import ANY

Kernel = Callable[..., torch.Tensor]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Kernel], str]:
    """Puts a backend into the catalogue for one test: (query, key, value, mask, scale) -> output, (B, S, H, D)."""

    def add(name: str, kernel: Kernel, **values: Any) -> str:
        backend = Backend(name, None, **({"devices": ("cpu", "cuda"), "dtypes": ANY} | values))
        monkeypatch.setitem(BACKENDS, name, backend)
        monkeypatch.setitem(operators._LIBRARIES, name, lambda: kernel)
        return name

    return add


def plain_attention(query: Any, key: Any, value: Any, mask: Any, scale: float | None) -> Any:
    """Torch's attention in the layout of the libraries."""
    heads_first = (each.transpose(1, 2) for each in (query, key, value))
    found = torch.nn.functional.scaled_dot_product_attention(*heads_first, attn_mask=mask, scale=scale)
    return found.transpose(1, 2)


@pytest.fixture
def flux() -> FluxTransformer2DModel:
    """One double and two single blocks, 2 heads of 16."""
    torch.manual_seed(0)
    return FluxTransformer2DModel(
        num_layers=1, num_single_layers=2, num_attention_heads=2, attention_head_dim=16, joint_attention_dim=32,
        pooled_projection_dim=32, axes_dims_rope=(4, 6, 6), in_channels=64,
    ).eval()  # fmt: skip


@pytest.fixture
def flux_inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "hidden_states": torch.randn(1, 16, 64), "encoder_hidden_states": torch.randn(1, 4, 32),
        "pooled_projections": torch.randn(1, 32), "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(4, 3),
    }  # fmt: skip


@pytest.fixture
def qwen() -> QwenImageTransformer2DModel:
    torch.manual_seed(0)
    return QwenImageTransformer2DModel(
        num_layers=2, num_attention_heads=2, attention_head_dim=16, joint_attention_dim=32, axes_dims_rope=(4, 6, 6),
        in_channels=64, out_channels=16,
    ).eval()  # fmt: skip


@pytest.fixture
def qwen_inputs() -> dict[str, Any]:
    """Two prompts of 3 and 7 tokens in one batch: padding, and a mask that says so."""
    torch.manual_seed(1)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[0, 3:] = False
    return {
        "hidden_states": torch.randn(2, 16, 64), "encoder_hidden_states": torch.randn(2, 7, 32),
        "encoder_hidden_states_mask": mask, "timestep": torch.tensor([0.5, 0.5]), "img_shapes": [[(1, 4, 4)]] * 2,
    }  # fmt: skip
