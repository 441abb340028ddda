"""Which backend a worker decides on, why, and what a model that goes past it says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from attention import BACKENDS
from attention.auto import Choice
from manifests.errors import AttentionError
from manifests.row import Row
from tests.attention.conftest import library, plain_attention
from tests.rows import lease_of, make_row
from tests.workers.conftest import settings, started_worker
from workers import backend_choice
from workers.backend_choice import FirstForward, measure_backends
from workers.settings import Decisions
from workers.worker import Worker

__all__ = ["library"]


def loaded(tmp_path: Path, **changes: Any) -> Worker:
    worker = Worker(settings(tmp_path, **changes))
    worker.load()
    return worker


def test_on_a_cpu_auto_times_nothing_and_says_so(tmp_path: Path) -> None:
    decisions = loaded(tmp_path).decide(make_row())
    assert decisions.attention == "sdpa"
    assert (
        decisions.reasons["attention"].startswith("auto: on a CPU ")
        and "nothing was timed" in decisions.reasons["attention"]
    )


@pytest.mark.parametrize("name", ["sdpa", "sdpa-math", "sdpa-flash"])
def test_a_backend_asked_for_by_name_is_the_one(tmp_path: Path, name: str) -> None:
    worker = loaded(tmp_path, attention=name)
    for sample in (None, make_row()):
        decisions = worker.decide(sample)
        assert (decisions.attention, decisions.reasons["attention"]) == (name, "asked for by name")


def test_a_layer_that_goes_past_the_backend_is_told_in_reasons_and_rows(
    tmp_path: Path, library: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    name = library("mostly", plain_attention, exact=False)
    worker = loaded(tmp_path, attention=name)

    class Past:
        """A processor that asks no dispatcher."""

        def __init__(self, processor: Any) -> None:
            self.processor = processor

        def __call__(self, *arguments: Any, **keywords: Any) -> Any:
            return self.processor(*arguments, **keywords)

    layer = worker._model.pipe.transformer.transformer_blocks[0].attn
    layer.processor = Past(layer.processor)
    decisions = worker.decide(make_row())
    total = len(worker._model.pipe.transformer.transformer_blocks)
    total += len(worker._model.pipe.transformer.single_transformer_blocks)
    said = f"1 of {total} attention calls bypass mostly: 1 by sdpa-flash (first in transformer_blocks.0.attn)"
    assert decisions.reasons["attention"] == f"asked for by name; {said}"
    caplog.clear()
    worker.begin(decisions)
    worker.render(lease_of(make_row()))
    [image] = read_staged(tmp_path)
    assert image["attention_backend"] == "mostly+sdpa-flash" and image["exact"] is False
    assert caplog.text.count(said) == 1


def read_staged(out: Path, table: str = "images") -> list[dict[str, Any]]:
    return [row for path in out.glob(f"_staging/{table}-*.parquet") for row in pq.read_table(path).to_pylist()]


def test_a_backend_that_computes_wrongly_stops_before_the_model_is_loaded(
    tmp_path: Path, library: Callable[..., str]
) -> None:
    name = library("zeroes", lambda query, key, value, mask, scale: query * 0)
    worker = Worker(settings(tmp_path, attention=name, model="no/such-model"))
    with pytest.raises(AttentionError, match="attention zeroes: it computes wrongly here"):
        worker.load()


def test_a_backend_that_is_wrong_at_the_models_own_head_size_never_renders(
    tmp_path: Path, library: Callable[..., str]
) -> None:
    def wrong_below_128(query: Any, key: Any, value: Any, mask: Any, scale: Any) -> Any:
        return plain_attention(query, key, value, mask, scale) * (1.0 if query.shape[-1] == 128 else 1.1)

    name = library("wrong_below_128", wrong_below_128)
    worker = loaded(tmp_path, attention=name)
    with pytest.raises(AttentionError, match="heads of 16"):
        worker.decide(make_row())
    with pytest.raises(AttentionError, match="heads of 16"):
        worker.begin(Decisions(1, name, False, {}))


def test_a_decision_from_a_machine_that_had_the_package_is_refused_where_it_lacks(tmp_path: Path) -> None:
    worker = loaded(tmp_path)
    with pytest.raises(AttentionError, match="attention flash4: "):
        worker.begin(Decisions(1, "flash4", False, {}))


def test_rows_say_whether_the_backend_is_exact(tmp_path: Path, library: Callable[..., str]) -> None:
    name = library("rounded", lambda *arguments: plain_attention(*arguments).half().float(), exact=False)
    started_worker(tmp_path, attention=name).render(lease_of(make_row()))
    [image] = read_staged(tmp_path)
    assert (image["attention_backend"], image["exact"]) == (name, False)


def test_a_row_whose_mask_the_kernel_does_not_take_is_a_row_of_errors(
    tmp_path: Path, library: Callable[..., str]
) -> None:
    name = library("without_masks", lambda q, k, v, mask, scale: plain_attention(q, k, v, None, scale))
    worker = started_worker(tmp_path, attention=name, model="tiny:qwen-image")
    encode = worker._encoder.encode

    def masked(row: Row, references: Any) -> Any:
        encoded = encode(row, references)
        if row.id == "r1":
            mask = torch.ones(encoded.embeddings["prompt_embeds"].shape[:2], dtype=torch.long)
            mask[:, -1] = 0
            encoded.embeddings["prompt_embeds_mask"] = mask
        return encoded

    worker._encoder.encode = masked  # type: ignore[method-assign]
    rows = [make_row(k, guidance_scale=None, negative_prompt=" ", true_cfg_scale=4.0) for k in range(2)]
    result = worker.render(lease_of(*rows))
    assert (result.done, result.failed) == ((0,), (1,))
    [error] = read_staged(tmp_path, "errors")
    assert error["error_type"] == "AttentionError" and error["stage"] == "denoise"
    assert error["message"].startswith("attention without_masks: the model masks part of its tokens")


@pytest.fixture
def forward(tmp_path: Path) -> FirstForward:
    """The first denoiser forward of a tiny FLUX picture."""
    from workers.decide import Trial

    worker = loaded(tmp_path)
    trial = Trial(worker._model, worker._encoder, worker._references, worker.state, make_row())
    return trial.first_forward("sdpa", 1)


def test_the_first_forward_is_that_of_the_picture_and_can_be_repeated(forward: FirstForward) -> None:
    assert forward.denoiser(*forward.arguments, **forward.keywords)[0].shape == (1, 16, 64)
    assert [1, 16, 64, "torch.float32"] in forward.shapes()
    assert not forward.denoiser._forward_pre_hooks


def test_inside_the_model_every_usable_backend_is_timed_and_nothing_stays_compiled(
    forward: FirstForward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wall_ms(run: Callable[[], Any], times: int = 1) -> float:
        began = time.perf_counter()
        run()
        return (time.perf_counter() - began) * 1e3

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(backend_choice, "cuda_ms", wall_ms)
    monkeypatch.setattr(backend_choice, "time_alone_at", lambda call, dtype: lambda name: float(call.query[2]))
    choice, _ = measure_backends(loaded(tmp_path)._model, forward, False, "cpu")
    assert set(choice.inside) == {"sdpa", "sdpa-flash"} == set(choice.alone) and min(choice.inside.values()) > 0
    assert set(choice.alone.values()) == {16.0 + 512}, "tokens of picture and prompt"
    assert choice.backend in choice.inside and "flash4" in choice.unusable
    assert not any(part._compiled_call_impl for part in forward.denoiser.modules())


def test_measuring_is_done_once_for_a_gpu_model_shape_and_compilation(
    forward: FirstForward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    measured: list[bool] = []

    def measure(model: Any, forward: FirstForward, compiled: bool) -> Choice:
        measured.append(compiled)
        return Choice("flash4", {"sdpa": 1.0}, {"flash4": 9.0, "sdpa": 10.0}, {"flash3": "not installed"})

    monkeypatch.setattr(backend_choice, "_measure", measure)
    model = loaded(tmp_path)._model
    first, known = measure_backends(model, forward, True, "H200")
    again, known_again = measure_backends(model, forward, True, "H200")
    assert (first, known, known_again) == (again, False, True) and measured == [True]
    measure_backends(model, forward, False, "H200")
    measure_backends(model, forward, True, "H100")
    forward.keywords["hidden_states"] = torch.zeros(1, 32, 64)
    measure_backends(model, forward, True, "H200")
    assert measured == [True, False, True, True]


@pytest.mark.parametrize("value", [{"backend": "flash99"}, {"library": "flash"}, ["flash"], None])
def test_a_memory_that_is_no_choice_is_measured_anew(
    value: Any, forward: FirstForward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(backend_choice, "_measure", lambda *_: Choice("sdpa"))
    model = loaded(tmp_path)._model
    measure_backends(model, forward, True, "H200")
    [path] = (tmp_path / "cache").rglob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"value": value}))
    assert measure_backends(model, forward, True, "H200") == (Choice("sdpa"), False)
    assert measure_backends(model, forward, True, "H200") == (Choice("sdpa"), True)


def test_what_was_measured_is_the_reason() -> None:
    inside, left_out = {"flash4": 130.04, "sdpa": 132.0}, {"flash": "alone 1.8 times the fastest's time"}
    choice = Choice("flash4", {}, inside, left_out, {"flash3": "not installed"})
    assert backend_choice.why(choice, True, True) == (
        "auto, measured by an earlier job: compiled, ms a forward of the denoiser: flash4 130.0, sdpa 132.0; "
        "flash: alone 1.8 times the fastest's time; not usable here: flash3"
    )
    assert BACKENDS[choice.backend].exact
