"""One run of the training: its budget, its randomness, its checkpoints, what it says."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch

from examples.demo_model.data import Batch, Scenes, stream
from examples.demo_model.pipeline import trained_parts
from examples.demo_model.schedule import Average, Schedule, load_checkpoint, save_checkpoint

_STEPS_BETWEEN_LINES = 200
_Part = TypeVar("_Part")
_STAGES = ("vae", "flow", "guidance")


class Run:
    """A pipeline in training. Stages draw their batches from streams of their own."""

    def __init__(self, pipe: Any, options: argparse.Namespace) -> None:
        self.pipe, self.options = pipe, options
        self.device, self.batch_size = options.device, options.batch_size
        self.out = options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self._began = self._kept = time.monotonic()
        self._stage = ""
        self._parts: dict[type, Any] = {}
        self._trained_before: dict[str, torch.Tensor] = {}
        self.record: dict[str, Any] = {"options": {k: str(v) for k, v in vars(options).items()}, "stages": {}}
        self._checkpoint = load_checkpoint(self.out / "checkpoint.pt", self.device)
        if self._checkpoint is not None:
            self.record["stages"] = self._checkpoint["stages"]
            pipe.vae.load_state_dict(self._checkpoint["vae"])
            pipe.vae.register_to_config(**self._checkpoint["latents"])
            trained_parts(pipe).load_state_dict(self._checkpoint["trained"])
            self.say(f"goes on from {self.out / 'checkpoint.pt'}")

    def wanted(self, stage: str) -> bool:
        """Not where it is finished, or its budget is 0."""
        self._stage = stage
        parts = trained_parts(self.pipe).state_dict()
        self._trained_before = {name: tensor.clone() for name, tensor in parts.items()}
        minutes, steps = self.budget(stage)
        return stage not in self.record["stages"] and (steps is not None or minutes > 0)

    def budget(self, stage: str) -> tuple[float, int | None]:
        """Minutes, and steps where they are known: asked for, or fixed before the interruption."""
        steps = getattr(self.options, f"{stage}_steps")
        if self._checkpoint is not None and self._checkpoint["stage"] == stage:
            steps = steps or self._checkpoint["total"]
        return getattr(self.options, f"{stage}_minutes"), steps

    def batches(self, size: int, first: int, captions: bool = True) -> Iterator[Batch]:
        """This stage's batches from number `first` on."""
        tokenizers = (self.pipe.tokenizer, self.pipe.tokenizer_2) if captions else None
        scenes = Scenes(size, self._seed(), range(first, first + 10**7), tokenizers)
        return stream(scenes, self.device, self.options.workers)

    def generator(self, step: int) -> torch.Generator:
        """This stage's randomness of one step, the same after a resume."""
        return torch.Generator(self.device).manual_seed(self._seed() * 10**8 + step)

    def _seed(self) -> int:
        return self.options.seed * 10 + _STAGES.index(self._stage) + (5 if self.options.start_from else 0)

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def compiled(self, function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return torch.compile(function, dynamic=False) if self.options.compile else function

    def once(self, part: type[_Part]) -> _Part:
        """A part that stages share: part(run), made at the first call."""
        if part not in self._parts:
            self._parts[part] = part(self)  # type: ignore[call-arg]
        return self._parts[part]

    def resumed(self, stage: str, module: torch.nn.Module, optimizer: torch.optim.Optimizer, average: Average) -> int:
        """Load this stage's interrupted state, if there is one; the number of steps done."""
        found = self._checkpoint
        if found is None or found["stage"] != stage:
            return 0
        module.load_state_dict(found["module"])
        optimizer.load_state_dict(found["optimizer"])
        average.values = found["average"]
        return int(found["step"])

    def keep(
        self,
        stage: str,
        step: int,
        schedule: Schedule,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        average: Average,
    ) -> None:
        """Write a checkpoint if the last is old."""
        if time.monotonic() - self._kept > self.options.checkpoint_seconds:
            self._write(
                stage,
                step=step,
                total=schedule.steps,
                module=module.state_dict(),
                optimizer=optimizer.state_dict(),
                average=average.values,
            )

    def finished(self, stage: str, schedule: Schedule) -> None:
        seconds = time.monotonic() - self._began
        self.record["stages"][stage] = {"steps": schedule.steps, "seconds_since_start": round(seconds, 1)}
        (self.out / "training.json").write_text(json.dumps(self.record, indent=1) + "\n")

    def milestone(self) -> None:
        """A checkpoint between two stages."""
        self._trained_before = trained_parts(self.pipe).state_dict()
        self._write("")

    def _write(self, stage: str, **state: Any) -> None:
        vae = self.pipe.vae
        latents = {name: vae.config[name] for name in ("shift_factor", "scaling_factor")}
        save_checkpoint(
            self.out / "checkpoint.pt",
            stage=stage,
            stages=self.record["stages"],
            vae=vae.state_dict(),
            latents=latents,
            trained=self._trained_before,  # what guidance distillation starts from, should it be interrupted
            **state,
        )
        self._kept = time.monotonic()

    def tell(self, stage: str, step: int, schedule: Schedule, loss: torch.Tensor) -> None:
        if step % _STEPS_BETWEEN_LINES == 0:
            self.say(f"{stage}: step {step} of {schedule.steps or '?'}, loss {loss.item():.4f}")

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)
