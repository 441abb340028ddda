"""One step of training: gradients, clipping, AdamW, averaged weights; on a GPU replayed as one CUDA graph.

A step whose loss or gradients are not finite changes no weight; several of them in a row end the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch

from examples.demo_model.schedule import Average
from examples.demo_model.team import Team

_BEFORE_CAPTURE = 12  # ordinary steps, in which the allocator, cuBLAS, cuDNN and the compiler settle
_LOOK_EVERY = 20  # steps; looking waits for the GPU
_LIMIT = 10  # steps in a row without a finite loss
_LARGEST_NORM = 1.0
_DECAY = 0.02
_T5_FACTOR = 0.3  # of the rate: T5 does not scale its logits down, and at the full rate its attention saturates


class Diverged(RuntimeError):
    """The loss stayed infinite or NaN."""


class Descent:
    """Trains `module` on loss(*inputs), a scalar.

    With `graph`, inputs must keep their shapes, and the loss may neither wait for the GPU nor draw random numbers.
    With a `team`, loss and gradients are the means over its processes.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        rate: float,
        loss: Callable[..., torch.Tensor],
        graph: bool = False,
        team: Team | None = None,
    ) -> None:
        self.module, self.peak_rate, self.loss, self.team = module, rate, loss, team
        self.parameters = list(module.parameters())
        device = self.parameters[0].device
        self.average = Average(module)
        self.optimizer = _adamw(module, torch.tensor(rate, device=device))
        self.last_loss, self.skip, self.skipped, self.skipped_in_a_row = torch.zeros(4, device=device).unbind()
        self.optimizer.found_inf = self.skip  # type: ignore[attr-defined]  # what a GradScaler uses: fused AdamW looks
        self._stream = torch.cuda.Stream() if graph else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[torch.Tensor] = []
        self._calls = 0

    def step(self, number: int, share: float, *inputs: torch.Tensor) -> None:
        """Step `number` at a share of the peak rate. Diverged where the loss has not been finite for long."""
        for group in self.optimizer.param_groups:
            group["lr"].fill_(share * self.peak_rate * group["factor"])
        if self._stream is None:
            self._descend(inputs)
        elif self._calls < _BEFORE_CAPTURE:
            self._on_a_side_stream(self._stream, inputs)
        else:
            self._replay(inputs)
        self._calls += 1
        self.average.update(number)
        if number % _LOOK_EVERY == _LOOK_EVERY - 1 and self.skipped_in_a_row.item() >= _LIMIT:
            raise Diverged(
                f"no finite loss or gradient in {self.skipped_in_a_row.item():.0f} steps up to step {number}, at most"
                f" {_LIMIT - 1}; try a smaller --rate, --no-compile or --no-graph"
            )

    def _descend(self, inputs: Sequence[torch.Tensor]) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(*inputs)
        loss.backward()
        loss = loss.detach().clone()
        if self.team is not None:
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            self.team.average([*gradients, loss])
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, _LARGEST_NORM)
        self.skip.copy_(~(norm.isfinite() & loss.isfinite()))
        self.optimizer.step()
        self.skipped.add_(self.skip)
        self.skipped_in_a_row.add_(1).mul_(self.skip)
        self.last_loss.copy_(loss)

    def _on_a_side_stream(self, stream: torch.cuda.Stream, inputs: Sequence[torch.Tensor]) -> None:
        """Where a capture asks for its rehearsals to run."""
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._descend(inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def _replay(self, inputs: Sequence[torch.Tensor]) -> None:
        if self._graph is None:
            try:
                self._capture(inputs)
            except RuntimeError as error:  # nothing ran, so nothing is lost but speed
                warnings.warn(f"no CUDA graph, so every kernel is launched by itself: {error}", stacklevel=2)
                self._stream = self._graph = None
                self._descend(inputs)
                return
        torch._foreach_copy_(self._inputs, list(inputs))
        assert self._graph is not None
        self._graph.replay()

    def _capture(self, inputs: Sequence[torch.Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self._graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)  # the graph makes gradients of its own
        # the thread that watches over collectives asks for events meanwhile, which "global" forbids
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._descend(self._inputs)


def _adamw(module: torch.nn.Module, rate: torch.Tensor) -> torch.optim.Optimizer:
    """Linear layers' matrices decay; norms, biases, convolutions and embeddings' tables do not."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        decay = _DECAY if parameter.ndim == 2 and "embed" not in name else 0.0
        factor = _T5_FACTOR if name.startswith("text_encoder_2.") else 1.0
        groups.setdefault((decay, factor), []).append(parameter)
    given = [
        {"params": parameters, "weight_decay": decay, "factor": factor, "lr": rate.clone()}
        for (decay, factor), parameters in groups.items()
    ]
    return torch.optim.AdamW(given, betas=(0.9, 0.99), fused=True, capturable=rate.is_cuda)
