"""What only a GPU can show of the kernels: run with `pytest -m gpu` on a machine that has one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn

from attention import BACKENDS, KernelCount, examine, use_backend
from attention.auto import choose_fastest, contenders, cuda_ms, heaviest, time_alone_at
from attention.backends import HALF
from attention.dispatch import dispatched
from attention.probe import ERROR_BOUND, exact_attention

pytestmark = pytest.mark.gpu

ON_GPU = [name for name, backend in BACKENDS.items() if "cuda" in backend.devices and not backend.hub]


def usable_or_skip(name: str, dtype: str = "bfloat16", head_size: int = 128) -> None:
    found = examine(BACKENDS[name], "cuda", dtype, head_size)
    if not found.usable:
        pytest.skip(found.reason)


@pytest.fixture
def flux_on_gpu() -> FluxTransformer2DModel:
    """Two blocks of each kind, 2 heads of 128, bf16."""
    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        num_layers=2, num_single_layers=2, num_attention_heads=2, attention_head_dim=128, joint_attention_dim=32,
        pooled_projection_dim=32, axes_dims_rope=(16, 56, 56), in_channels=64,
    )  # fmt: skip
    return model.eval().to("cuda", torch.bfloat16)


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    found = {
        "hidden_states": torch.randn(1, 256, 64), "encoder_hidden_states": torch.randn(1, 77, 32),
        "pooled_projections": torch.randn(1, 32), "timestep": torch.tensor([0.5]),
    }  # fmt: skip
    on_gpu = {name: value.to("cuda", torch.bfloat16) for name, value in found.items()}
    return on_gpu | {"img_ids": torch.zeros(256, 3, device="cuda"), "txt_ids": torch.zeros(77, 3, device="cuda")}


def denoised(model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs)[0]  # type: ignore[no-any-return]


def test_torchs_own_kernels_work() -> None:
    for name in ("sdpa", "sdpa-flash", "sdpa-efficient", "sdpa-math"):
        found = examine(BACKENDS[name], "cuda", "bfloat16", 128)
        assert found.usable, found.reason


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("tokens", [512, 4608])
@pytest.mark.parametrize("name", [name for name in ON_GPU if BACKENDS[name].exact])
def test_every_exact_kernel_agrees_with_fp32_at_a_models_own_length(name: str, tokens: int, dtype: str) -> None:
    usable_or_skip(name, dtype)
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, tokens, 3, 128, device="cuda", dtype=getattr(torch, dtype)) for _ in range(3))
    output = dispatch_attention_fn(query, key, value, backend=dispatched(name)).float()
    exact = exact_attention(query.float(), key.float(), value.float())
    assert (output - exact).norm() <= ERROR_BOUND[dtype] * exact.norm()


@pytest.mark.parametrize("name", [name for name in ON_GPU if BACKENDS[name].exact])
def test_a_model_draws_the_same_with_every_exact_kernel_up_to_bf16(
    flux_on_gpu: FluxTransformer2DModel, inputs: dict[str, Any], name: str
) -> None:
    usable_or_skip(name)
    use_backend(flux_on_gpu, "sdpa-math")
    expected = denoised(flux_on_gpu, inputs).float()
    use_backend(flux_on_gpu, name)
    found = denoised(flux_on_gpu, inputs).float()
    # four blocks, each with about the error of one kernel, and what the rest of a block makes of it
    assert (found - expected).norm() <= 4 * ERROR_BOUND["bfloat16"] * expected.norm()


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ON_GPU)
def test_the_kernel_asked_for_is_the_kernel_that_runs(
    flux_on_gpu: FluxTransformer2DModel, inputs: dict[str, Any], name: str, compiled: bool
) -> None:
    usable_or_skip(name)
    use_backend(flux_on_gpu, name)
    eager = denoised(flux_on_gpu, inputs).float()
    if compiled:
        torch._dynamo.config.recompile_limit = 256
        flux_on_gpu.compile_repeated_blocks(fullgraph=True, dynamic=False)
    with KernelCount(flux_on_gpu) as count:
        found = denoised(flux_on_gpu, inputs).float()
    assert count.names.total() == 4 and count.bypass(name) is None, count.names
    if name != "sdpa":
        assert count.names == {name: 4}
    assert (found - eager).norm() <= 4 * ERROR_BOUND["bfloat16"] * eager.norm()


def test_auto_measures_and_keeps_one_that_works(flux_on_gpu: FluxTransformer2DModel, inputs: dict[str, Any]) -> None:
    use_backend(flux_on_gpu, "sdpa")
    with KernelCount(flux_on_gpu) as count:
        denoised(flux_on_gpu, inputs)
    assert heaviest(count.calls).query == (1, 2, 333, 128)
    usable, unusable = contenders("cuda", "bfloat16", {128})
    assert {"sdpa", "sdpa-flash"} <= set(usable)

    def time_inside(name: str) -> float:
        use_backend(flux_on_gpu, name)
        return cuda_ms(lambda: denoised(flux_on_gpu, inputs))

    choice = choose_fastest(usable, unusable, time_alone_at(heaviest(count.calls), "bfloat16"), time_inside)
    assert choice.backend in usable and choice.inside[choice.backend] <= min(choice.inside.values()) * 1.005
