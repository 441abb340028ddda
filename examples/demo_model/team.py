"""The processes that train one model together, one a GPU, started by torchrun; or the only one there is.

Every process draws its own share of a batch; gradients are averaged, so that all hold the same weights. What depends on
the clock is process 0's word, and so is everything that is written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

_PATIENCE = timedelta(minutes=10)  # with processes that do not come to a collective


class Team:
    """`rank` of `size` processes; torchrun's environment says so."""

    def __init__(self, device: str) -> None:
        launched = "MASTER_ADDR" in os.environ and "WORLD_SIZE" in os.environ
        self.rank, self.size = (
            int(os.environ[name]) if launched else at for name, at in (("RANK", 0), ("WORLD_SIZE", 1))
        )
        self._device = device
        if self.size > 1:
            on_gpu = torch.device(device).type == "cuda"
            if on_gpu:
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)

    @property
    def leads(self) -> bool:
        """Whether this process writes, examines and tells."""
        return self.rank == 0

    def share(self, count: int) -> int:
        """How many of a batch of `count` pictures are this process's."""
        if count % self.size:
            sys.exit(
                f"a batch of {count} cannot be shared out over {self.size} processes; give a multiple of {self.size}"
            )
        return count // self.size

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
        """Whether all hold process 0's weights, bit for bit: the same answer in all, which must all call it."""
        if self.size == 1:
            return True
        own = torch._utils._flatten_dense_tensors([parameter.detach() for parameter in parameters])
        first = own.clone()
        dist.broadcast(first, 0)
        equal = torch.tensor([int(torch.equal(own, first))], device=self._device)
        dist.all_reduce(equal, dist.ReduceOp.MIN)
        return bool(equal.item())

    def end(self) -> None:
        """Leave it, in peace only: after an error the others wait in a collective, and so would this process here.

        Where there are others, the process ends with it: a thread of gloo's that still holds a tensor while Python is
        taken down aborts the process, now and then (pytorch pull request 179291).
        """
        if self.size > 1:
            dist.all_reduce(torch.zeros(1, device=self._device))
            dist.destroy_process_group()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
