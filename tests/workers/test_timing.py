"""Where the time of a batch goes: by a scripted clock, and against a clock of our own around the real denoiser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import torch

from workers.model import LoadedModel
from workers.timing import BatchTimer, BatchTimes, WallClock, clock_for

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ScriptedClock:
    """Reads out the instants it was given, in ms, and remembers which it was asked to wait for."""

    def __init__(self, *instants: float) -> None:
        self._instants = iter(instants)
        self.waited: list[float] = []

    def mark(self) -> float:
        return next(self._instants)

    def milliseconds(self, first: float, second: float) -> float:
        return second - first

    def instant(self, mark: float) -> datetime:
        return EPOCH + timedelta(milliseconds=mark)

    def wait(self, mark: float) -> None:
        self.waited.append(mark)


class Denoiser(torch.nn.Module):
    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return latents


class Scheduler:
    sigmas = torch.tensor([1.0, 0.5, 0.25, 0.0])


def call(timer: BatchTimer, denoiser: Denoiser, timesteps: list[Any], forwards: int = 1) -> None:
    """What a pipeline does between `begin` and `decoded`."""
    timer.mark("begin")
    with timer:
        for step, timestep in enumerate(timesteps):
            for _ in range(forwards):
                denoiser(torch.zeros(1))
            assert timer.on_step_end(None, step, timestep, {"latents": 1}) == {"latents": 1}
    timer.mark("decoded")


@pytest.mark.parametrize("forwards", [1, 2])  # one, and two as with classifier-free guidance
def test_every_part_of_a_batch_is_measured_from_mark_to_mark(forwards: int) -> None:
    clock = ScriptedClock(12, 20, 50, 90, 140, 147)
    denoiser = Denoiser()
    timer = BatchTimer(clock, [denoiser], Scheduler())
    timer.encodings = [(0, 7), (8, 11)]  # two prompts, encoded before the call
    call(timer, denoiser, [torch.tensor(999.0), 600, torch.tensor(300)], forwards)
    times = timer.read()
    assert (times.text_encode_ms, times.prepare_ms, times.denoise_ms, times.decode_ms) == (10, 8, 120, 7)
    assert [step.step_ms for step in times.steps] == [30, 40, 50]
    assert sum(step.step_ms for step in times.steps) == times.denoise_ms
    assert [(step.step, step.timestep, step.sigma) for step in times.steps] == [
        (0, 999.0, 1.0), (1, 600.0, 0.5), (2, 300.0, 0.25),
    ]  # fmt: skip
    assert times.started_at == EPOCH + timedelta(milliseconds=12)
    assert [step.started_at for step in times.steps] == [EPOCH + timedelta(milliseconds=k) for k in (20, 50, 90)]
    assert clock.waited == [147], "the device is waited for once, at the end"


def test_the_hooks_are_gone_after_the_call_even_if_it_raised() -> None:
    denoiser = Denoiser()
    timer = BatchTimer(ScriptedClock(0, 1, 2), [denoiser], Scheduler())
    with pytest.raises(ZeroDivisionError), timer:
        denoiser(torch.zeros(1))
        raise ZeroDivisionError
    assert not denoiser._forward_pre_hooks
    assert timer.marks == {"first_forward": 0}


def test_a_scheduler_that_moves_on_does_not_change_what_is_read() -> None:
    scheduler, denoiser = Scheduler(), Denoiser()
    timer = BatchTimer(ScriptedClock(*range(9)), [denoiser], scheduler)
    call(timer, denoiser, [1.0])
    scheduler.sigmas = torch.tensor([7.0, 7.0])  # the next batch's
    assert timer.read().steps[0].sigma == 1.0


def test_sigmas_leave_the_device_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read one by one from a GPU, each would wait for the batch that is queued behind."""
    fetched: list[list[float]] = []

    def fetch(tensor: torch.Tensor) -> torch.Tensor:
        fetched.append(tensor.tolist())
        return tensor

    monkeypatch.setattr("workers.timing.to_host", fetch)
    denoiser = Denoiser()
    timer = BatchTimer(ScriptedClock(*range(9)), [denoiser], Scheduler())
    call(timer, denoiser, [1.0])
    assert fetched == [[1.0], [1.0, 0.5, 0.25, 0.0]]


def test_a_scheduler_without_sigmas_leaves_them_out() -> None:
    denoiser = Denoiser()
    timer = BatchTimer(ScriptedClock(*range(9)), [denoiser], object())
    call(timer, denoiser, [1.0])
    assert timer.read().steps[0].sigma is None


def test_a_pipeline_that_reports_no_step_is_refused() -> None:
    timer = BatchTimer(ScriptedClock(*range(9)), [Denoiser()], Scheduler())
    call(timer, Denoiser(), [])
    with pytest.raises(RuntimeError, match="no denoising step"):
        timer.read()


def test_the_wall_clock_tells_ms_and_utc() -> None:
    clock = clock_for("cpu")
    assert isinstance(clock, WallClock)
    first = clock.mark()
    time.sleep(0.02)
    second = clock.mark()
    assert 20 <= clock.milliseconds(first, second) < 2000
    assert abs((clock.instant(second) - datetime.now(UTC)).total_seconds()) < 1


@pytest.fixture(scope="module")
def measured(tiny: LoadedModel) -> Iterator[tuple[BatchTimes, list[tuple[float, float]]]]:
    """A real batch of 12 steps, timed by us and by a clock around each forward of the denoiser."""
    forwards: list[tuple[float, float]] = []
    [denoiser] = tiny.family.denoisers(tiny.pipe)
    original = denoiser.forward

    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        found = original(*arguments, **options)
        forwards.append((began, time.perf_counter()))
        return found

    denoiser.forward = timed
    timer = BatchTimer(WallClock(), [denoiser], tiny.pipe.scheduler)
    try:
        timer.mark("begin")
        timer.mark("encoded")
        with timer, torch.no_grad():
            tiny.pipe(
                "a fox", height=256, width=256, num_inference_steps=12, output_type="latent",
                generator=torch.Generator().manual_seed(0), callback_on_step_end=timer.on_step_end,
            )  # fmt: skip
        timer.mark("decoded")
    finally:
        denoiser.forward = original
    yield timer.read(), forwards


def test_the_steps_of_a_real_pipeline_add_up(measured: tuple[BatchTimes, list[tuple[float, float]]]) -> None:
    times, forwards = measured
    assert len(times.steps) == len(forwards) == 12
    assert sum(step.step_ms for step in times.steps) == pytest.approx(times.denoise_ms, rel=0.02)
    assert [step.step for step in times.steps] == list(range(12))
    assert times.steps[0].timestep == 1000 and times.steps[0].sigma == 1.0
    assert all(a.timestep > b.timestep for a, b in zip(times.steps, times.steps[1:], strict=False))


def test_denoising_is_from_the_first_forward_to_the_last_steps_end(
    measured: tuple[BatchTimes, list[tuple[float, float]]],
) -> None:
    times, forwards = measured
    outer = (forwards[-1][1] - forwards[0][0]) * 1e3
    last_step_outside_forward = times.steps[-1].step_ms - (forwards[-1][1] - forwards[-1][0]) * 1e3
    assert times.denoise_ms - last_step_outside_forward == pytest.approx(outer, rel=0.02)
    for step, (began, ended) in zip(times.steps, forwards, strict=True):
        assert step.step_ms >= (ended - began) * 1e3
