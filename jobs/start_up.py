"""How a run gets going, told one line a phase: Ray, the model, what is measured, the first lease."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from jobs.cluster import Resources
from jobs.pool import Member
from jobs.progress import Display
from jobs.spec import JobSpec
from workers.settings import Decisions, WorkerFacts

_SCALES = ((10**9, "B"), (10**6, "M"), (10**3, "k"))


class StartUp:
    """Tells a display of each phase once, with the seconds since `began`, an instant of the monotonic clock."""

    def __init__(self, display: Display, spec: JobSpec, began: float) -> None:
        self._display = display
        self._spec = spec
        self._began = began
        self._told: set[str] = set()

    def ray(self, rows: int, left: int) -> None:
        """Ray is being started or joined, for a job of `rows` of which some are left."""
        where = f"joining Ray at {self._spec.address}" if self._spec.address else "starting Ray on this machine"
        self._tell("ray", f"{left:,} of {rows:,} rows to render; {where}")

    def loading(self, resources: Resources, workers: int, dtype: str) -> None:
        """Ray is there; `workers` load the model."""
        gpus = self._spec.gpus_per_worker
        each = ("a GPU" if gpus == 1 else f"{gpus} GPUs") if resources.device == "cuda" else "a CPU core"
        on = f"a worker with {each}" if workers == 1 else f"{workers} workers, each with {each}"
        self._tell("loading", f"loading {self._spec.model} as {dtype} on {on}")

    def observe(self, members: Iterable[Member], decisions: Mapping[str, Decisions]) -> None:
        """Tell what has come about since the last look at the workers."""
        for member in members:
            if member.facts is not None:
                self._tell("loaded", _loaded(member.facts))
                if member.stage == "deciding":
                    self._tell("deciding", self._deciding())
                elif member.stage == "ready" and member.facts.hardware.kind in decisions:
                    self._tell("rendering", _rendering(decisions[member.facts.hardware.kind]))

    def _deciding(self) -> str:
        spec = self._spec
        measured = [
            name for name, asked in (("attention", spec.attention), ("batch size", spec.batch_size)) if asked == "auto"
        ]
        return f"measuring {' and '.join(measured)}" if measured else f"trying attention {spec.attention}"

    def _tell(self, phase: str, text: str) -> None:
        if phase not in self._told:
            self._told.add(phase)
            self._display.say(f"{time.monotonic() - self._began:6.1f} s  {text}")


def _loaded(facts: WorkerFacts) -> str:
    model = facts.model
    size = f", {_scaled(model.weights)} weights" if model.weights else ""
    placed = "" if model.placement == "resident" else f", {model.placement}"
    on = facts.hardware.gpu or "CPU"
    return f"loaded in {model.load_seconds:.1f} s: {model.pipeline}{size}{placed} on {on}"


def _rendering(chosen: Decisions) -> str:
    how = "compiled" if chosen.compile else "not compiled"
    return f"rendering: attention {chosen.attention}, batch size {chosen.batch_size}, {how}"


def _scaled(count: int) -> str:
    return next((f"{count / scale:.3g} {letter}" for scale, letter in _SCALES if count >= scale), str(count))
