"""What ran is counted where it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import _get_current_dispatch_mode

from attention import KernelCount
from attention.counting import compiled_counts, is_compiled
from attention.operators import operator
from tests.attention.conftest import plain_attention


class Attention(torch.nn.Module):
    """`layers` calls of torch's attention on (B, heads, tokens, width)."""

    def __init__(self, layers: int = 1, heads: int = 2) -> None:
        super().__init__()
        self.layers, self.heads = layers, heads

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        for _ in range(self.layers):
            tokens = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return tokens


class Arithmetic(torch.nn.Module):
    """Attention that is written out, as old processors do it."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return (tokens @ tokens.transpose(-1, -2)).softmax(dim=-1) @ tokens


TOKENS = torch.randn(1, 2, 8, 16)


@pytest.mark.parametrize(
    ("backend", "name"), [(SDPBackend.FLASH_ATTENTION, "sdpa-flash"), (SDPBackend.MATH, "sdpa-math")]
)
def test_the_kernel_that_torch_picked_is_named(backend: SDPBackend, name: str) -> None:
    module = Attention(layers=3)
    with KernelCount(module) as count, sdpa_kernel(backend), torch.no_grad():
        module(TOKENS)
    assert count.names == {name: 3} and count.backend == name
    assert count.bypass("sdpa") is None and (count.bypass(name) is None)
    if name != "sdpa-math":  # which shows its scores
        assert {(call.query, call.key) for call in count.calls} == {(TOKENS.shape, TOKENS.shape)}


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


def test_what_bypasses_the_chosen_backend_is_told_with_how_much_and_where(library: Callable[..., str]) -> None:
    name = library("chosen", plain_attention)

    class Chosen(torch.nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return operator(name)(tokens, tokens, tokens, None, None)  # type: ignore[no-any-return]

    model = torch.nn.ModuleDict({"a": Chosen(), "b": Chosen(), "c": Arithmetic(), "d": Attention(layers=2)})
    model.forward = lambda tokens: [part(tokens) for part in model.values()]  # type: ignore[method-assign]
    with KernelCount(model) as count, torch.no_grad():
        model(TOKENS)
    assert count.backend == "chosen+sdpa-flash+sdpa-math"
    assert count.bypass(name) == (
        "3 of 5 attention calls bypass chosen: 2 by sdpa-flash (first in d), 1 by sdpa-math (first in c)"
    )
    assert count.bypass("sdpa") is not None


def test_compiled_code_is_counted_as_it_runs(library: Callable[..., str]) -> None:
    run = operator(library("in_a_graph", plain_attention))

    class Both(torch.nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            tokens = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
            return run(tokens, tokens, tokens, None, None)  # type: ignore[no-any-return]

    model = torch.nn.Sequential(Both(), Both())
    with torch.no_grad():
        expected = model(TOKENS)
    for part in model:
        part.compile(backend="aot_eager", fullgraph=True)
    with KernelCount(model) as count, torch.no_grad():
        assert torch.equal(model(TOKENS), expected)
    assert is_compiled(model)
    assert count.names == {"in_a_graph": 2, "sdpa-flash": 2}, "the kernels inside an operator of ours are its own"


def test_the_compilers_own_kernels_are_counted(library: Callable[..., str]) -> None:
    """Inductor: it fuses written-out attention, and leaves no operator of it; the operators it calls are all seen."""
    run = operator(library("in_inductor", plain_attention))

    class Both(torch.nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            tokens = (tokens.cumsum(-1) @ tokens.transpose(-1, -2)).softmax(dim=-1) @ tokens
            return run(tokens * 2, tokens, tokens + 1, None, None) * 3  # type: ignore[no-any-return]

    model = torch.nn.Sequential(Both(), torch.nn.Identity())
    with torch.no_grad():
        expected = model(TOKENS)
        model[0].compile(fullgraph=True, dynamic=False)
        with KernelCount(model) as count:
            assert torch.allclose(model(TOKENS), expected, atol=1e-5)
    assert count.names == {"in_inductor": 1, "sdpa-math": 1}


def test_attention_that_the_compiler_fused_is_arithmetic_and_what_it_turned_into_a_kernel_is_that_kernel() -> None:
    eager = Counter({"flash": 4, "sdpa-math": 2})
    assert compiled_counts(eager, Counter({"flash": 4})) == eager
    turned = Counter({"flash": 4, "sdpa-cudnn": 2})
    assert compiled_counts(eager, turned) == turned
    assert compiled_counts(Counter({"flash": 4}), Counter({"flash": 3})) == {"flash": 3, "unknown": 1}
    assert compiled_counts(Counter({"flash": 4}), Counter({"flash": 5})) == {"flash": 5}


@pytest.mark.parametrize("compiled", [False, True])
def test_counting_changes_no_bit_and_leaves_nothing_behind(compiled: bool) -> None:
    module = torch.nn.Sequential(Attention(layers=2))
    if compiled:
        module[0].compile(backend="aot_eager")
    with torch.no_grad():
        expected = module(TOKENS)
        with KernelCount(module):
            assert torch.equal(module(TOKENS), expected)
    for part in module.modules():
        assert not part._forward_hooks and not part._forward_pre_hooks
    assert _get_current_dispatch_mode() is None


def test_a_forward_that_raises_leaves_nothing_behind() -> None:
    module = torch.nn.Sequential(Attention())
    with pytest.raises(RuntimeError), KernelCount(module):
        module(torch.zeros(1, 2, 3, 4, dtype=torch.int32))
    for part in module.modules():
        assert not part._forward_hooks and not part._forward_pre_hooks
    assert _get_current_dispatch_mode() is None
