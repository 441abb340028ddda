"""A worker without Ray: the picture is the plain diffusers call's own, and a row that fails costs itself alone."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from manifests.plan import Lease
from manifests.row import Row
from manifests.seeds import derived_seed
from manifests.storage import locate
from tests.rows import lease_of, make_row
from tests.workers.conftest import started_worker
from workers.breadcrumb import breadcrumb_location, read_breadcrumb
from workers.model import LoadedModel
from workers.settings import LeaseResult, TableFile
from workers.worker import Worker

HUGE_SEED = 2**64  # more than a generator takes: the row raises while its batch is denoised
Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def single(out: Path) -> Iterator[Worker]:
    """A worker with batches of one."""
    yield started_worker(out)


@pytest.fixture(scope="module")
def fours(out: Path) -> Iterator[Worker]:
    """A worker with batches of four."""
    yield started_worker(out, batch_size=4)


_leases = iter(range(10**6))


def rendered(worker: Worker, out: Path, *rows: Row, **options: Any) -> tuple[LeaseResult, Tables]:
    """The answer to one lease, and the tables it staged."""
    lease: Lease = lease_of(*rows, lease_id=f"lease-{next(_leases)}", **options)
    result = worker.render(lease)
    tables: Tables = {"images": [], "steps": [], "errors": []}
    for file in result.files:
        assert isinstance(file, TableFile)
        tables[file.table] = pq.read_table(out / "_staging" / file.name).to_pylist()
        assert file.rows == len(tables[file.table])
    return result, tables


def pixels(image: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image["image"]["bytes"])))


def plain(tiny: LoadedModel, row: Row, image_index: int = 0) -> np.ndarray:
    """The picture by diffusers alone."""
    seed = derived_seed(0, row.id, image_index) if row.seed is None else row.seed + image_index
    options: dict[str, Any] = {"negative_prompt": row.negative_prompt, "true_cfg_scale": row.true_cfg_scale}
    image = tiny.pipe(
        row.prompt,
        width=row.width,
        height=row.height,
        num_inference_steps=row.steps,
        guidance_scale=row.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(seed),
        **{name: value for name, value in options.items() if value is not None},
        **row.params,
    ).images[0]
    return np.asarray(image)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seed": 7},
        {"width": 96, "height": 48, "steps": 3},
        {"width": 32, "height": 128, "steps": 1, "guidance_scale": 0.0},
        {"num_images": 3, "seed": 41},
        {"num_images": 2},
        {"negative_prompt": "a blurred hen", "true_cfg_scale": 4.0},
        {"negative_prompt": "", "true_cfg_scale": 2.5, "guidance_scale": 1.0},
        {"true_cfg_scale": 4.0},  # without a negative prompt it does nothing
        {"params": {"max_sequence_length": 64}},
        {"params": {"prompt_2": "a second prompt", "sigmas": [1.0, 0.4]}},
        {"negative_prompt": "a", "true_cfg_scale": 3.0, "params": {"negative_prompt_2": "b", "prompt_2": "c"}},
        {"prompt": "ein Fuchs, 雪, " + "long " * 300},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_a_picture_equals_the_plain_diffusers_call_bit_for_bit(
    tiny: LoadedModel, single: Worker, out: Path, changes: dict[str, Any]
) -> None:
    row = make_row(3, **changes)
    result, tables = rendered(single, out, row)
    assert (result.done, result.failed, result.pictures) == ((3,), (), row.num_images)
    assert [image["image_index"] for image in tables["images"]] == list(range(row.num_images))
    for k, image in enumerate(tables["images"]):
        expected = plain(tiny, row, k)
        assert expected.shape == (row.height, row.width, 3) and expected.std() > 1
        assert np.array_equal(pixels(image), expected)


def test_pictures_of_a_batch_differ_from_single_ones_by_rounding_alone(
    tiny: LoadedModel, fours: Worker, out: Path
) -> None:
    rows = [make_row(k, seed=k) for k in range(8)]
    _, tables = rendered(fours, out, *rows)
    assert [image["batch_size"] for image in tables["images"]] == [4] * 8
    for row, image in zip(rows, sorted(tables["images"], key=lambda image: image["ordinal"]), strict=True):
        assert np.abs(pixels(image).astype(int) - plain(tiny, row).astype(int)).max() <= 1
    assert len({image["sha256"] for image in tables["images"]}) == 8


def test_the_rows_tell_what_ran(single: Worker, out: Path) -> None:
    row = make_row(5, steps=3, extra={"tag": "fox"}, params={"max_sequence_length": 64}, num_images=2)
    result, tables = rendered(single, out, row, attempt=2)
    first, second = tables["images"]
    assert hashlib.sha256(first["image"]["bytes"]).hexdigest() == first["sha256"]
    assert first["image"]["path"] == "r5-0.png"
    expected = {
        "id": "r5", "ordinal": 5, "format": "png", "width": 64, "height": 64, "prompt": "picture 5", "steps": 3,
        "guidance_scale": 3.5, "params": '{"max_sequence_length": 64}', "model": "tiny:flux.1-dev", "dtype": "float32",
        "attention_requested": "auto", "attention_backend": "sdpa-flash", "compiled": False, "exact": True,
        "batch_size": 1, "attempt": 2, "lease_id": result.lease_id, "worker_id": "run-w0", "gpu": None, "tag": "fox",
        "seed": derived_seed(0, "r5", 0), "reference_images": [],
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert second["worker_batch"] == first["worker_batch"] + 1 and second["seed"] == derived_seed(0, "r5", 1)
    assert first["batch_id"] != second["batch_id"]
    times = ("queue_ms", "text_encode_ms", "prepare_ms", "denoise_ms", "decode_ms", "image_encode_ms", "peak_gib")
    assert all(first[name] > 0 for name in times)
    steps = [step for step in tables["steps"] if step["image_index"] == 0]
    assert [step["step"] for step in steps] == [0, 1, 2] and len(tables["steps"]) == 6
    assert sum(step["step_ms"] for step in steps) == pytest.approx(first["denoise_ms"], rel=0.02)
    for name in ("id", "batch_id", "batch_size", "width", "height", "attention_backend", "worker_id", "warmup"):
        assert {step[name] for step in steps} == {first[name]}
    assert first["started_at"] < steps[0]["started_at"] < steps[1]["started_at"]


def test_the_first_batch_of_a_shape_and_size_is_the_warmup(out: Path, fours: Worker) -> None:
    rows = [make_row(k, width=80) for k in range(9)]
    _, tables = rendered(fours, out, *rows)
    assert [(image["batch_size"], image["warmup"]) for image in tables["images"]] == [
        *[(4, True)] * 4, *[(4, False)] * 4, (1, True),
    ]  # fmt: skip


def test_the_kernel_asked_for_is_the_kernel_that_ran(out: Path) -> None:
    worker = started_worker(out, attention="sdpa-math", worker_id="run-w1")
    _, tables = rendered(worker, out, make_row(0), make_row(1))
    assert [image["attention_backend"] for image in tables["images"]] == ["sdpa-math"] * 2
    assert {image["attention_requested"] for image in tables["images"]} == {"sdpa-math"}


def test_one_workers_backend_is_not_the_next_ones(out: Path) -> None:
    started_worker(out, attention="sdpa-math", worker_id="run-w2")
    _, tables = rendered(started_worker(out, worker_id="run-w3"), out, make_row(0))
    assert tables["images"][0]["attention_backend"] == "sdpa-flash"


@pytest.mark.parametrize("guilty", [0, 2, 3])
def test_a_row_that_raises_fails_alone(tiny: LoadedModel, fours: Worker, out: Path, guilty: int) -> None:
    rows = [make_row(k, seed=HUGE_SEED if k == guilty else k) for k in range(4)]
    result, tables = rendered(fours, out, *rows)
    others = tuple(k for k in range(4) if k != guilty)
    assert (result.done, result.failed, result.pictures) == (others, (guilty,), 3)
    [error] = tables["errors"]
    assert (error["id"], error["ordinal"], error["stage"], error["attempts"], error["source_line"]) == (
        f"r{guilty}", guilty, "denoise", 2, guilty + 1,
    )  # fmt: skip
    assert error["error_type"] in ("RuntimeError", "OverflowError", "ValueError") and error["message"]
    assert "\n" not in error["message"] and "manual_seed" in error["traceback"]
    assert sorted(image["ordinal"] for image in tables["images"]) == list(others)
    for image in tables["images"]:
        assert (image["attempt"], image["batch_size"]) == (2, 1), "rendered again alone, and says so"
        assert np.array_equal(pixels(image), plain(tiny, rows[image["ordinal"]]))


def test_a_picture_that_raises_takes_its_rows_other_pictures_along(single: Worker, out: Path) -> None:
    rows = [make_row(0, seed=2**64 - 2, num_images=3), make_row(1, seed=1, num_images=3)]  # the third seed is too large
    result, tables = rendered(single, out, *rows)
    assert (result.done, result.failed, result.pictures) == ((1,), (0,), 3)
    assert {image["id"] for image in tables["images"]} == {step["id"] for step in tables["steps"]} == {"r1"}


def test_an_argument_that_the_pipeline_refuses_fails_its_rows(single: Worker, out: Path) -> None:
    row = make_row(0, params={"max_sequence_length": 600})
    result, tables = rendered(single, out, row)
    assert (result.done, result.failed) == ((), (0,))
    assert "max_sequence_length" in tables["errors"][0]["message"]
    assert rendered(single, out, make_row(1))[0].done == (1,)


def test_a_picture_of_nan_is_an_error_and_its_neighbours_are_not(out: Path) -> None:
    worker = started_worker(out, batch_size=4, worker_id="run-w4")
    assert worker._model is not None
    embedding = worker._model.pipe.text_encoder_2.get_input_embeddings()
    token = worker._model.pipe.tokenizer_2("q", add_special_tokens=False).input_ids[-1]
    embedding.weight.data[token] = float("nan")  # a broken weight that only prompts with a q meet
    rows = [make_row(k, prompt="quail" if k == 2 else "a fox", seed=k) for k in range(4)]
    result, tables = rendered(worker, out, *rows)
    assert (result.done, result.failed) == ((0, 1, 3), (2,))
    [error] = tables["errors"]
    assert (error["stage"], error["error_type"]) == ("decode", "ArithmeticError") and "NaN" in error["message"]


def test_a_row_that_cannot_be_written_fails_alone(out: Path) -> None:
    worker = started_worker(out, batch_size=4, worker_id="run-w6", extra={"tag": "int64"})
    rows = [make_row(k, extra={"tag": "many" if k == 2 else k}) for k in range(4)]
    result, tables = rendered(worker, out, *rows)
    assert (result.done, result.failed, result.pictures) == ((0, 1, 3), (2,), 3)
    assert [image["tag"] for image in tables["images"]] == [0, 1, 3]
    assert [(error["id"], error["stage"]) for error in tables["errors"]] == [("r2", "write")]


def test_a_split_lease_renders_every_picture_alone(tiny: LoadedModel, fours: Worker, out: Path) -> None:
    rows = [make_row(k, num_images=2) for k in range(3)]
    _, tables = rendered(fours, out, *rows, split=True, attempt=3)
    assert {(image["batch_size"], image["attempt"]) for image in tables["images"]} == {(1, 3)}
    assert np.array_equal(pixels(tables["images"][1]), plain(tiny, rows[0], 1))


def test_a_repeated_prompt_is_encoded_once_and_draws_the_same(single: Worker, out: Path) -> None:
    rows = [make_row(k, prompt="the very same prompt " + "x" * 400, seed=1) for k in range(4)]
    _, tables = rendered(single, out, *rows)
    assert len({image["sha256"] for image in tables["images"]}) == 1
    first, *rest = [image["text_encode_ms"] for image in tables["images"]]
    assert max(rest) < first / 3


def test_encoding_is_charged_once_however_many_pictures_a_row_has(single: Worker, fours: Worker, out: Path) -> None:
    _, tables = rendered(single, out, make_row(prompt="a prompt for three", num_images=3))
    first, *rest = [image["text_encode_ms"] for image in tables["images"]]
    assert first > 0 and rest == [0, 0]
    _, tables = rendered(fours, out, make_row(prompt="a prompt for eight", num_images=8))
    times = [image["text_encode_ms"] for image in tables["images"]]
    assert times[:4] == [times[0]] * 4 and times[0] > 0 and times[4:] == [0] * 4


def test_the_breadcrumb_names_the_batch_begun_last(single: Worker, out: Path) -> None:
    result, _ = rendered(single, out, make_row(4), make_row(9))
    assert read_breadcrumb(breadcrumb_location(locate(out), "run-w0")) == (result.lease_id, (9,))


def test_the_state_tells_a_hang_from_slow_work(out: Path, single: Worker) -> None:
    before, pictures = single.state.progress, single.state.pictures
    rendered(single, out, make_row(0, steps=6))
    assert single.state.progress >= before + 6
    assert (single.state.step, single.state.steps, single.state.pictures) == (6, 6, pictures + 1)


def test_pictures_can_be_webp_or_jpeg(out: Path) -> None:
    for image_format in ("webp", "jpeg"):
        worker = started_worker(out, format=image_format, worker_id=f"run-{image_format}")
        [image] = rendered(worker, out, make_row(0))[1]["images"]
        assert image["format"] == image_format and image["image"]["path"] == f"r0-0.{image_format}"
        assert Image.open(io.BytesIO(image["image"]["bytes"])).format == image_format.upper()


def test_the_worker_describes_its_model_in_plain_values(out: Path) -> None:
    facts = started_worker(out, worker_id="run-w5").load()
    assert (facts.worker_id, facts.model.family, facts.model.pipeline) == ("run-w5", "flux.1-dev", "FluxPipeline")
    assert (facts.model.size_multiple, facts.model.max_images) == (16, 0)
    assert {"max_sequence_length", "sigmas", "prompt_2"} <= facts.model.parameters
    assert not {"generator", "latents", "output_type", "self"} & facts.model.parameters
    assert facts.model.versions["torch"] == torch.__version__.split("+")[0] or "+" in facts.model.versions["torch"]
    assert json.dumps(facts.hardware.__dict__) and facts.hardware.kind == "cpu"
