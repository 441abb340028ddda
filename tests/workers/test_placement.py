"""Where weights go, from GiB alone."""

from __future__ import annotations

import pytest

from manifests.errors import ModelError
from workers import pipelines
from workers.families import Family
from workers.families.flux1 import Flux1
from workers.placement import HEADROOM_GIB, Needs, choose_placement, needs_of
from workers.reference import ModelReference

FLUX2 = {"transformer": 60.0, "text_encoder": 44.7, "vae": 0.3}


@pytest.mark.parametrize(
    ("asked", "free", "host", "placement"),
    [
        ("auto", [139], 120, "resident"),
        ("auto", [105 + HEADROOM_GIB], 0, "resident"),
        ("auto", [105 + HEADROOM_GIB - 0.1], 120, "swap"),
        ("never", [105.1], 0, "resident"),  # who insists may do without headroom
        ("auto", [74.5], 120, "swap"),
        ("auto", [61], 120, "swap"),
        ("swap", [139], 120, "swap"),
        ("auto", [74.5, 74.5], 0, "spread"),
        ("never", [74.5, 74.5], 0, "spread"),
        ("auto", [74.5, 40], 120, "swap"),
        ("swap", [74.5, 74.5], 120, "swap"),
    ],
)
def test_the_placement_that_fits(asked: str, free: list[float], host: float, placement: str) -> None:
    assert choose_placement(asked, needs_of(FLUX2, True), free, host, "m") == placement


@pytest.mark.parametrize(
    ("asked", "free", "host", "said"),
    [
        ("never", [74.5], 120, r"weights of 105.0 GiB, 74.5 GiB of GPU memory free, 30.5 GiB too few"),
        ("never", [74.5], 120, r"--offload swap needs 60.3 GiB at a time, --gpus-per-worker 2 needs 60.3 and 44.7 GiB"),
        ("auto", [47.5], 120, r"largest part of 60.3 GiB, 47.5 GiB of GPU memory free, 12.8 GiB too few"),
        ("auto", [74.5], 64, r"weights of 105.0 GiB to swap, 64.0 GiB of host memory free, 41.0 GiB too few"),
        ("auto", [24, 24], 120, r"24.0 and 24.0 GiB of GPU memory"),
    ],
)
def test_what_is_missing_is_said_in_gib_with_what_would_work(
    asked: str, free: list[float], host: float, said: str
) -> None:
    with pytest.raises(ModelError, match=said) as refused:
        choose_placement(asked, needs_of(FLUX2, True), free, host, "m")
    assert "--quantize int8" in str(refused.value) and "\n" not in str(refused.value)


def test_a_pipeline_that_encodes_inside_its_call_is_swapped_part_by_part() -> None:
    assert needs_of(FLUX2, False) == Needs(44.7, 60.3, 60.0)


@pytest.mark.parametrize(("free", "expected"), [([24.0, 24.0], "resident"), ([12.0, 12.0], "spread")])
def test_a_pipeline_that_encodes_inside_its_call_is_spread_only_where_it_must_be(
    free: list[float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "free_gib", lambda gpus: free[:gpus])
    monkeypatch.setattr(pipelines, "free_host_gib", lambda: 64.0)
    parts = {"unet": 8.0, "text_encoder": 6.0}
    reference = ModelReference("sdxl", "folder", "sdxl")
    assert pipelines._place(reference, Family(), parts, pipelines.LoadOptions(gpus=2)) == expected
    assert pipelines._place(reference, Flux1(), parts, pipelines.LoadOptions(gpus=2)) == "spread"
