"""One run of the training: its budget, its randomness, its checkpoints, what it says."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch

from examples.demo_model.descent import Descent, Diverged
from examples.demo_model.pipeline import trained_parts
from examples.demo_model.schedule import Schedule, load_checkpoint, save_checkpoint
from examples.demo_model.team import Team
from examples.demo_model.watch import examine_now

_STEPS_BETWEEN_LINES = 200
_STEPS_BETWEEN_CHECKS = 5000
_EARLY_LINES = (40, 100)  # the first of them is after compilation and capture
_Part = TypeVar("_Part")
_STAGES = ("vae", "flow", "guidance")


class Run:
    """A pipeline in training."""

    def __init__(self, pipe: Any, options: argparse.Namespace, team: Team) -> None:
        self.pipe, self.options, self.team = pipe, options, team
        self.device, self.out = options.device, options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self._began = self._kept = time.monotonic()
        self._stage = ""
        self._told: tuple[int, float] | None = None
        self._parts: dict[type, Any] = {}
        self._trained_before: dict[str, torch.Tensor] = {}
        options_given = {k: str(v) for k, v in vars(options).items()}
        self.record: dict[str, Any] = {"options": options_given, "processes": team.size, "stages": {}}
        self._checkpoint = load_checkpoint(self.out / "checkpoint.pt", self.device)
        if self._checkpoint is not None:
            if (before := self._checkpoint.get("processes", 1)) != team.size:
                sys.exit(
                    f"{self.out}: was begun by {before} processes, now {team.size}: their pictures would be others"
                )
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
        return stage not in self.record["stages"] and (minutes if steps is None else steps) > 0

    def budget(self, stage: str) -> tuple[float, int | None]:
        """Minutes, and steps where they are known: asked for, or fixed before the interruption."""
        steps = getattr(self.options, f"{stage}_steps")
        if self._checkpoint is not None and self._checkpoint["stage"] == stage:
            steps = steps or self._checkpoint["total"]
        return getattr(self.options, f"{stage}_minutes"), steps

    def steps(self, stage: str, descent: Descent, warm_up: int) -> Iterator[tuple[int, float, torch.Generator]]:
        """Number, share of the peak rate and randomness of each step left; ends with the averaged weights in place."""
        done = self._resumed(stage, descent)
        schedule = Schedule(*self.budget(stage), warm_up=warm_up, done=done, agree=self.team.agree)
        self._told, examined, step = None, time.monotonic(), done
        while schedule.goes_on(step):
            if (step - done) % _STEPS_BETWEEN_CHECKS == 0:
                self._in_step(descent)
            yield step, schedule.rate(step), self._generator(step)
            self.tell(stage, step, schedule, descent)
            step += 1
            self._keep(stage, step, schedule, descent)
            due = 0 < self.options.examine_seconds < time.monotonic() - examined
            if due and stage != "vae" and self.team.leads:
                schedule.pause(examine_now(self, stage, descent.average))
                examined, self._told = time.monotonic(), None
        descent.average.to_module(descent.module)
        self._in_step(descent)
        seconds = round(time.monotonic() - self._began, 1)
        skipped = int(descent.skipped.item())
        self.record["stages"][stage] = {"steps": step, "seconds_since_start": seconds, "steps_skipped": skipped}
        if self.team.leads:
            (self.out / "training.json").write_text(json.dumps(self.record, indent=1) + "\n")

    def _in_step(self, descent: Descent) -> None:
        """Diverged where the processes no longer hold the same weights."""
        if not self.team.in_step(descent.parameters):
            raise Diverged("the processes no longer hold the same weights; the last checkpoint has process 0's")

    def _generator(self, step: int) -> torch.Generator:
        """This stage's randomness of one step, the same after a resume."""
        seed = self.options.seed * 10 + _STAGES.index(self._stage) + (5 if self.options.start_from else 0)
        number = (seed * 10**8 + step) * self.team.size + self.team.rank
        return torch.Generator(self.device).manual_seed(number)

    def scenes_seed(self) -> int:
        """Of the scenes to train on: each process has its own, and others when finished weights are trained further."""
        return int(self.options.seed * 2 + bool(self.options.start_from)) * self.team.size + self.team.rank

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def once(self, part: type[_Part]) -> _Part:
        """A part that stages share: part(run), made at the first call."""
        if part not in self._parts:
            self._parts[part] = part(self)  # type: ignore[call-arg]
        return self._parts[part]

    def _resumed(self, stage: str, descent: Descent) -> int:
        """Load this stage's interrupted state, if there is one; the number of steps done."""
        found = self._checkpoint
        if found is None or found["stage"] != stage:
            return 0
        descent.module.load_state_dict(found["module"])
        descent.optimizer.load_state_dict(found["optimizer"])
        descent.average.values = found["average"]
        return int(found["step"])

    def _keep(self, stage: str, step: int, schedule: Schedule, descent: Descent) -> None:
        """Write a checkpoint if the last is old."""
        if self.team.leads and time.monotonic() - self._kept > self.options.checkpoint_seconds:
            self._write(
                stage,
                step=step,
                total=schedule.steps,
                module=descent.module.state_dict(),
                optimizer=descent.optimizer.state_dict(),
                average=descent.average.values,
            )

    def milestone(self) -> None:
        """A checkpoint between two stages."""
        self._trained_before = trained_parts(self.pipe).state_dict()
        if self.team.leads:
            self._write("")

    def _write(self, stage: str, **state: Any) -> None:
        vae = self.pipe.vae
        latents = {name: vae.config[name] for name in ("shift_factor", "scaling_factor")}
        save_checkpoint(
            self.out / "checkpoint.pt",
            stage=stage,
            processes=self.team.size,
            stages=self.record["stages"],
            vae=vae.state_dict(),
            latents=latents,
            trained=self._trained_before,  # what guidance distillation starts from, should it be interrupted
            **state,
        )
        self._kept = time.monotonic()

    def tell(self, stage: str, step: int, schedule: Schedule, descent: Descent) -> None:
        """A line now and then, of process 0; the speed is of the steps since the line before, without examinations."""
        if step % _STEPS_BETWEEN_LINES and step + 1 != schedule.steps and step not in _EARLY_LINES:
            return
        loss, skipped = descent.last_loss.item(), int(descent.skipped.item())
        text = f"{stage}: step {step} of {schedule.steps or '?'}, loss {loss:.4f}"
        now = time.monotonic()
        if self._told is not None and step > self._told[0]:
            text += f", {(now - self._told[1]) / (step - self._told[0]) * 1e3:.1f} ms a step"
        if self.device == "cuda":
            text += f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        self.say(text + (f", {skipped} steps skipped" if skipped else ""))
        self._told = step, now

    def say(self, text: str) -> None:
        if self.team.leads:
            print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)
