"""A kernel is believed when it agrees with fp32, and refused when it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from attention import BACKENDS, examine, require_working
from attention import probe as probing
from attention.probe import ERROR_BOUND, INEXACT_BOUND, exact_attention, relative_error
from manifests.errors import AttentionError
from tests.attention.conftest import plain_attention

EXACT_ON_CPU = [name for name, each in BACKENDS.items() if each.exact and "cpu" in each.devices]


@pytest.mark.parametrize("head_size", [16, 64, 128, 256])
@pytest.mark.parametrize("dtype", list(ERROR_BOUND))
@pytest.mark.parametrize("name", EXACT_ON_CPU)
def test_every_exact_backend_of_the_cpu_is_within_the_rounding_of_its_dtype(
    name: str, dtype: str, head_size: int
) -> None:
    error = relative_error(name, "cpu", getattr(torch, dtype), head_size)
    assert error <= ERROR_BOUND[dtype]
    assert examine(BACKENDS[name], "cpu", dtype, head_size).error == error


def test_the_yardstick_is_torchs_own_attention() -> None:
    query, key, value = torch.randn(2, 5, 3, 16), torch.randn(2, 7, 3, 16), torch.randn(2, 7, 3, 16)
    expected = plain_attention(query.double(), key.double(), value.double(), None, None)
    assert torch.allclose(exact_attention(query, key, value).double(), expected, atol=1e-6)


def scaled(query, key, value, mask, scale):  # type: ignore[no-untyped-def]
    return plain_attention(query, key, value, mask, 1.1 * query.shape[-1] ** -0.5)


def without_the_last_key(query, key, value, mask, scale):  # type: ignore[no-untyped-def]
    return plain_attention(query, key[:, :-1], value[:, :-1], mask, scale)


def last_row_forgotten(query, key, value, mask, scale):  # type: ignore[no-untyped-def]
    found = plain_attention(query, key, value, mask, scale).clone()
    found[:, -1] = 0
    return found


def not_a_number(query, key, value, mask, scale):  # type: ignore[no-untyped-def]
    return plain_attention(query, key, value, mask, scale) * float("nan")


def heads_swapped(query, key, value, mask, scale):  # type: ignore[no-untyped-def]
    return plain_attention(query, key, value.flip(2), mask, scale)


WRONG = [scaled, without_the_last_key, last_row_forgotten, not_a_number, heads_swapped]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kernel", WRONG, ids=lambda kernel: kernel.__name__)
def test_a_wrong_kernel_is_refused(
    library: Callable[..., str], kernel: Callable[..., torch.Tensor], dtype: str
) -> None:
    name = library(kernel.__name__, kernel)
    with pytest.raises(AttentionError, match=f"attention {name}: it computes wrongly here: error .* against fp32"):
        require_working(name, "cpu", dtype, {16})


def test_a_right_kernel_is_tried_once_per_process(library: Callable[..., str]) -> None:
    runs = []

    def counted(*arguments: torch.Tensor) -> torch.Tensor:
        runs.append(arguments[0].shape[-1])
        return plain_attention(*arguments)

    name = library("counted", counted)
    for _ in range(3):
        require_working(name, "cpu", "float32", {16, 32})
    assert runs == [16, 32]


def test_an_approximate_kernel_has_room_and_not_without_end(library: Callable[..., str]) -> None:
    def off_by(fraction: float) -> Callable[..., torch.Tensor]:
        return lambda *arguments: plain_attention(*arguments) * (1 + fraction)

    near = library("near", off_by(0.5 * INEXACT_BOUND), exact=False)
    far = library("far", off_by(2 * INEXACT_BOUND), exact=False)
    assert examine(BACKENDS[near], "cpu", "float32", 16).usable
    assert not examine(BACKENDS[far], "cpu", "float32", 16).usable


def test_after_a_kernel_that_broke_the_gpu_no_other_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_broken_by", ["flash3"])
    found = examine(BACKENDS["sdpa"], "cuda", "bfloat16", 48)  # sdpa needs no certain GPU, so none is asked
    assert found.reason == "not tried: flash3 left this process unable to use the GPU"
