"""Configurations that take turns on one pipeline: each runs its own kernels, compiled or not, turn after turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.row import Row
from manifests.storage import locate
from tests.rows import make_row
from workers.settings import WorkerSettings
from workers.turns import TurnWorker

STEPS = 2
FLASH = "aten::_scaled_dot_product_flash_attention_for_cpu"


def settings_of(out: Path, attention: str, compiled: bool, batch_size: int = 1) -> WorkerSettings:
    return WorkerSettings(
        "bench-w0", "tiny:flux.1-dev", "cpu", "float32", attention, compiled, batch_size, 0, "png", str(out), {}
    )


def rows(number: int) -> list[Row]:
    return [make_row(number, steps=STEPS, seed=7, id=f"round-{number}")]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> TurnWorker:
    folder = tmp_path_factory.mktemp("turns")
    worker = TurnWorker()
    worker.load(settings_of(folder, "", False))
    for attention in ("sdpa", "sdpa-math"):
        for compiled in (False, True):
            out = folder / f"{attention}-{compiled}"
            (out / "_staging").mkdir(parents=True)
            worker.prepare(out.name, settings_of(out, attention, compiled), rows(0)[0])
    return worker


def flash_kernels(worker: TurnWorker, name: str, number: int) -> int:
    """How often torch's flash kernel ran in one turn, text encoders included, compiled code too."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        result = worker.take(name, f"turn-{number}", rows(number))
    assert result.error is None
    return sum(event.count for event in profiler.key_averages() if event.key == FLASH)


def test_every_turn_runs_the_kernel_of_its_own_configuration(worker: TurnWorker) -> None:
    from torch._inductor import config

    names = ["sdpa-True", "sdpa-math-True", "sdpa-False", "sdpa-math-False"]
    with config.patch(pattern_matcher=False):  # it would put the flash kernel in the place of the maths
        for name in names:
            worker.take(name, "turn-0", rows(0))
        found = {name: [] for name in names}  # type: dict[str, list[int]]
        for number in (1, 2):
            for name in names if number == 1 else reversed(names):
                found[name].append(flash_kernels(worker, name, number))
    with_maths = found["sdpa-math-False"][0]
    layers = 2  # one block of each kind
    assert found["sdpa-False"] == found["sdpa-True"] == [with_maths + layers * STEPS] * 2
    assert found["sdpa-math-False"] == found["sdpa-math-True"] == [with_maths] * 2


def test_going_back_to_a_configuration_compiles_nothing(worker: TurnWorker) -> None:
    from torch._dynamo.utils import counters

    names = ["sdpa-True", "sdpa-False", "sdpa-math-True"]
    for name in names:
        worker.take(name, "turn-3", rows(3))
    before = counters["stats"]["unique_graphs"]
    for name in reversed(names):
        worker.take(name, "turn-4", rows(4))
    assert before > 0 and counters["stats"]["unique_graphs"] == before


def test_turns_stage_whole_files_and_say_what_warmed_up(worker: TurnWorker) -> None:
    import pyarrow.parquet as pq

    worker.take("sdpa-False", "turn-5", rows(5))
    staged = worker.written("sdpa-False")
    assert staged[-1].lease_id == "turn-5" and staged[-1].pictures == 1
    out = locate(worker._sides["sdpa-False"].settings.out)
    warm = [pq.read_table((out / "_staging" / f"images-turn-{k}.parquet").path)["warmup"][0].as_py() for k in (0, 5)]
    assert warm == [True, False]


def test_a_turn_that_raises_becomes_an_error_row_and_harms_no_other(worker: TurnWorker) -> None:
    result = worker.take("sdpa-False", "turn-6", [make_row(6, steps=STEPS, params={"no_such_argument": 1})])
    assert result.error and "no_such_argument" in result.error and not result.broken
    assert worker.written("sdpa-False")[-1].failed == (6,)
    assert worker.take("sdpa-True", "turn-7", rows(7)).error is None
