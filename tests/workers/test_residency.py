"""Weights that come and go draw the same pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from manifests.plan import Picture
from tests.rows import make_row
from workers.encode import PromptEncoder
from workers.families.base import TEXT_ENCODERS
from workers.model import LoadedModel, load_model
from workers.pipelines import LoadOptions
from workers.render import Renderer
from workers.residency import PhasedResidency
from workers.settings import Decisions, WorkerState
from workers.timing import clock_for


@pytest.fixture(params=["flux.1-dev", "flux.2-dev", "qwen-image"])
def model(request: pytest.FixtureRequest) -> Iterator[LoadedModel]:
    yield load_model(f"tiny:{request.param}", "cpu", "float32")


@pytest.fixture
def quantized() -> LoadedModel:
    options = LoadOptions(quantize=("transformer=int8", "text_encoder_2=float8"))
    return load_model("tiny:flux.1-dev", "cpu", "bfloat16", options)


def draw(model: LoadedModel) -> np.ndarray:
    clock = clock_for("cpu")
    renderer = Renderer(model, Decisions(1, "sdpa", False, {}), WorkerState(), clock)
    row = make_row(steps=2)
    _, pixels, _ = renderer.render([Picture(row, 0, 3)], [PromptEncoder(model, clock).encode(row, [])]).wait()
    return pixels


def present(module: torch.nn.Module) -> bool:
    """Whether all weights are there; half of them would be a fault."""
    there = {tensor.numel() > 0 for tensor in module.parameters()}
    assert len(there) == 1
    return there.pop()


def test_phases_hold_only_what_they_need_and_draw_the_same(model: LoadedModel) -> None:
    check_phases(model)


def test_quantised_weights_come_and_go_too(quantized: LoadedModel) -> None:
    check_phases(quantized)


def check_phases(model: LoadedModel) -> None:
    expected = draw(model)
    parts = {name: part for name, part in model.pipe.components.items() if isinstance(part, torch.nn.Module)}
    text = [part for name, part in parts.items() if name in TEXT_ENCODERS]
    rest = [part for name, part in parts.items() if name not in TEXT_ENCODERS]
    residency = PhasedResidency(text, rest, "cpu", "cpu")
    phased = LoadedModel(model.pipe, model.family, model.facts, "cpu", residency)
    assert residency.seconds_per_lease > 0
    for _ in range(2):
        assert np.array_equal(draw(phased), expected)
        assert [present(part) for part in text + rest] == [False] * len(text) + [True] * len(rest)
        with residency.encoding():
            assert [present(part) for part in text + rest] == [True] * len(text) + [False] * len(rest)
