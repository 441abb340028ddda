"""What only a GPU can show: run with `pytest -m gpu` on a machine that has one."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from attention import BACKENDS, examine
from manifests.plan import Picture
from manifests.row import ImageRef
from tests.rows import make_row
from tests.workers.conftest import settings
from workers.batch_size import choose_batch_size
from workers.encode import PromptEncoder
from workers.families import FAMILIES
from workers.model import load_model
from workers.pipelines import LoadOptions
from workers.references import Reference, ReferenceFetcher
from workers.render import Renderer
from workers.settings import Decisions, WorkerState
from workers.timing import clock_for

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `auto` measures here is not remembered for the user's jobs, nor the other way round."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def parts() -> tuple[PromptEncoder, Renderer]:
    """A tiny pipeline on the GPU, ready to render."""
    model = load_model("tiny:flux.1-dev", "cuda", "bfloat16")
    clock = clock_for("cuda")
    return PromptEncoder(model, clock), Renderer(model, Decisions(1, "sdpa", False, {}), WorkerState(), clock)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "qwen-image-edit-2511"])
def test_a_picture_equals_the_plain_call_bit_for_bit(family: str) -> None:
    import torch

    model = load_model(f"tiny:{family}", "cuda", "bfloat16")
    clock, defaults = clock_for("cuda"), model.facts.defaults
    row = make_row(
        negative_prompt=defaults.negative_prompt,
        guidance_scale=defaults.guidance_scale,
        true_cfg_scale=defaults.true_cfg_scale,
    )
    renderer = Renderer(model, Decisions(1, "sdpa", False, {}), WorkerState(), clock)
    _, pixels, finite = renderer.render([Picture(row, 0, 7)], [PromptEncoder(model, clock).encode(row, [])]).wait()
    names = {"negative_prompt": row.negative_prompt, "guidance_scale": row.guidance_scale}
    given = {
        name: value for name, value in (names | {"true_cfg_scale": row.true_cfg_scale}).items() if value is not None
    }
    plain = model.pipe(
        prompt=row.prompt, width=64, height=64, num_inference_steps=row.steps,
        generator=torch.Generator("cpu").manual_seed(7), **given,
    ).images[0]  # fmt: skip
    assert finite == [True]
    assert np.array_equal(pixels[0], np.asarray(plain))


def test_device_time_agrees_with_the_wall(parts: tuple[PromptEncoder, Renderer]) -> None:
    import torch

    encoder, renderer = parts
    row = make_row(steps=40, width=512, height=512)
    encoded = encoder.encode(row, [])
    renderer.render([Picture(row, 0, 0)], [encoded]).wait()
    torch.cuda.synchronize()
    began = time.perf_counter()
    times, _, _ = renderer.render([Picture(row, 0, 0)], [encoded]).wait()
    wall = (time.perf_counter() - began) * 1e3
    total = times.prepare_ms + times.denoise_ms + times.decode_ms
    assert 0.8 * wall < total <= wall * 1.02
    assert abs(sum(step.step_ms for step in times.steps) - times.denoise_ms) < 0.02 * times.denoise_ms


def test_batch_size_is_measured_on_the_device(parts: tuple[PromptEncoder, Renderer], tmp_path: Path) -> None:
    from workers.worker import Worker

    encoder, renderer = parts
    row = make_row()

    def step_ms(pictures: list[Picture]) -> float:
        times, _, _ = renderer.render(pictures, [encoder.encode(row, [])] * len(pictures)).wait()
        return min(step.step_ms for step in times.steps)

    choice = choose_batch_size(row, step_ms)
    assert choice.batch_size > 1, "toy pictures leave the device idle"
    worker = Worker(settings(tmp_path, device="cuda", dtype="bfloat16", batch_size="auto"))
    worker.load()
    decisions = worker.decide(row)
    assert decisions.batch_size > 1 and "ms a step and picture" in decisions.reasons["batch_size"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [LoadOptions(offload="swap"), LoadOptions(gpus=2)], ids=["swap", "spread"])
def test_pictures_are_the_same_wherever_weights_live(family: str, options: LoadOptions, tmp_path: Path) -> None:
    import torch

    if options.gpus > torch.cuda.device_count():
        pytest.skip("needs two GPUs")
    drawn = []
    for chosen in (LoadOptions(), options):
        model = load_model(f"tiny:{family}", "cuda", "bfloat16", chosen)
        assert (model.facts.placement == "resident") == (chosen == LoadOptions())
        clock = clock_for("cuda")
        encoder = PromptEncoder(model, clock)
        images = [_reference(tmp_path)] if model.facts.min_images else []
        row = make_row(steps=2, true_cfg_scale=model.facts.defaults.true_cfg_scale, negative_prompt=" ")
        renderer = Renderer(model, Decisions(1, "sdpa", True, {}), WorkerState(), clock)
        for seed in (1, 2):  # twice through both phases, compiled
            times, pixels, _ = renderer.render([Picture(row, 0, seed)], [encoder.encode(row, images)]).wait()
            encoder._cache.clear()
            assert times.text_encode_ms > 0
        drawn.append(pixels)
    assert np.array_equal(*drawn)


def _reference(folder: Path) -> Reference:
    Image.new("RGB", (64, 64), "teal").save(folder / "teal.png")
    row = make_row(images=(ImageRef(str(folder / "teal.png"), None),))
    return ReferenceFetcher().get(row)[0]


def test_memory_that_ends_fails_its_row_alone(tmp_path: Path) -> None:
    import torch

    from tests.rows import lease_of
    from workers.worker import Worker

    worker = Worker(settings(tmp_path, device="cuda", dtype="bfloat16"))
    worker.load()
    worker.begin(worker.decide(None))
    _free, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(2 * 2**30 / total)
    try:
        huge = make_row(1, width=16384, height=16384)
        assert worker.render(lease_of(huge, lease_id="run-1")).failed == (1,)
        assert worker.render(lease_of(make_row(0), lease_id="run-2")).done == (0,)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_auto_measures_inside_the_model_once_and_remembers(tmp_path: Path, compiled: bool) -> None:
    from workers.worker import Worker

    worker = Worker(settings(tmp_path, device="cuda", dtype="bfloat16", compile=compiled))
    worker.load()
    first, again = worker.decide(make_row()), worker.decide(make_row())
    assert BACKENDS[first.attention].exact and first.compile == compiled
    how = "compiled" if compiled else "not compiled"
    assert first.reasons["attention"].startswith(f"auto: {how}, ms a forward of the denoiser: ")
    assert again.attention == first.attention
    assert again.reasons["attention"].startswith(f"auto, measured by an earlier job: {how}, ms a forward")


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ["sdpa-flash", "sdpa-cudnn", "sdpa-math", "flash", "flash4"])
def test_the_row_names_the_kernel_that_was_asked_for_and_ran(tmp_path: Path, name: str, compiled: bool) -> None:
    from tests.rows import lease_of
    from workers.worker import Worker

    for head_size in (16, 128):
        if not (found := examine(BACKENDS[name], "cuda", "bfloat16", head_size)).usable:
            pytest.skip(found.reason)
    worker = Worker(settings(tmp_path, device="cuda", dtype="bfloat16", attention=name, compile=compiled))
    worker.load()
    decisions = worker.decide(make_row())
    assert decisions.reasons["attention"] == "asked for by name"
    worker.begin(decisions)
    assert worker.render(lease_of(make_row(0), make_row(1))).done == (0, 1)
    files = [pq.read_table(path).to_pylist() for path in tmp_path.glob("_staging/images-*.parquet")]
    assert {(row["attention_backend"], row["compiled"]) for rows in files for row in rows} == {(name, compiled)}
