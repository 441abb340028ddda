"""The processes that train one model together, one a GPU, started by torchrun; or the only one there is.

Every process draws its own share of a batch; gradients are averaged, so that all hold the same weights. What depends on
the clock is process 0's word, and so is everything that is written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist


class Team:
    """`rank` of `size` processes; torchrun's environment says so."""

    def __init__(self, device: str) -> None:
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self._device = device
        if self.size > 1:
            if device == "cuda":
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("nccl" if device == "cuda" else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this process writes, examines and tells."""
        return self.rank == 0

    def share(self, count: int) -> int:
        """Of a batch of `count` pictures, this process's; at least one."""
        return max(count // self.size, 1)

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by their means over all processes; a CUDA graph can hold it."""
        if self.size > 1:
            flat = torch._utils._flatten_dense_tensors(tensors)
            dist.all_reduce(flat)
            flat /= self.size
            torch._foreach_copy_(list(tensors), list(torch._utils._unflatten_dense_tensors(flat, tensors)))

    def agree(self, value: float) -> float:
        """Process 0's value. All processes must call it."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self._device)
        dist.broadcast(told, 0)
        return float(told.item())

    def in_step(self, parameters: Sequence[torch.Tensor]) -> bool:
        """Whether this process holds process 0's weights, bit for bit. All processes must call it."""
        own = torch._utils._flatten_dense_tensors([parameter.detach() for parameter in parameters])
        others = own.clone()
        if self.size > 1:
            dist.broadcast(others, 0)
        return torch.equal(own, others)

    def close(self) -> None:
        """Leave it."""
        if self.size > 1:
            dist.destroy_process_group()
