"""Compile the blocks that a denoiser repeats.

Each shape gets kernels of its own (`dynamic=False`): kernels that serve many shapes would depend on which shape came
first, and so would the last bit of a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_MOST_SHAPES = 256  # compiled variants that one process keeps; beyond, torch refuses


def can_compile(denoiser: torch.nn.Module) -> bool:
    """Whether diffusers knows which blocks of this model repeat."""
    return bool(getattr(denoiser, "_repeated_blocks", None))


def uncompile_blocks(denoiser: torch.nn.Module) -> None:
    """Run the blocks as they are again; compiled code stays, for when they are compiled once more."""
    for module in denoiser.modules():
        module._compiled_call_impl = None


def compile_blocks(denoiser: torch.nn.Module) -> None:
    """Compile at first use; the first batch of every shape pays for it, and is marked as warm-up."""
    import torch._dynamo

    torch._dynamo.config.recompile_limit = _MOST_SHAPES
    torch._dynamo.config.accumulated_recompile_limit = 64 * _MOST_SHAPES
    denoiser.compile_repeated_blocks(fullgraph=True, dynamic=False)
