"""Copy a tensor to the host without making the render thread wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """A host copy in pinned memory, complete once the device has passed this point of its stream.

    A tensor that is on the host already is returned as it is.
    """
    import torch

    if tensor.device.type == "cpu":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)
