"""What the model makes of rows beyond what makes one bad, and what is refused before Ray starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs import cluster
from jobs.rules import require_possible, watch_negatives
from jobs.spec import make_spec
from manifests.errors import AttentionError, SpecError
from manifests.validate import OPTIONAL
from tests.jobs.facts import worker_facts
from tests.rows import bad_row, make_row

MODEL: dict[str, Any] = {"family": "flux.1-dev"}


def warnings(rows: list[Any], given: dict[str, Any] | None = None, **model: Any) -> list[str]:
    told: list[str] = []
    assert list(watch_negatives(rows, worker_facts(**(MODEL | model)).model, given or {}, told.append)) == rows
    return told


@pytest.mark.parametrize("scale", [None, 0.0, 1.0])
def test_a_negative_prompt_without_guidance_is_told_of_once_with_its_line(scale: float | None) -> None:
    rows = [make_row(0), bad_row(1), *(make_row(k, negative_prompt="grey", true_cfg_scale=scale) for k in (2, 3))]
    (told,) = warnings(rows)
    assert told.startswith(
        f"m.jsonl:3: negative_prompt changes nothing at true_cfg_scale {1 if scale is None else scale:g}; "
    )


def test_the_option_is_named_where_the_job_gives_it() -> None:
    (told,) = warnings([make_row(negative_prompt="grey")], {"negative_prompt": "grey"})
    assert told.startswith("--negative-prompt changes nothing at true_cfg_scale 1; ")


def test_one_that_counts_or_says_nothing_is_not_told_of() -> None:
    assert warnings([make_row(negative_prompt="grey", true_cfg_scale=1.5)]) == []
    assert warnings([make_row(negative_prompt=text) for text in ("", " ", None)]) == []


def test_of_a_pipeline_that_is_not_known_nothing_is_claimed() -> None:
    rows = [make_row(negative_prompt="grey")]
    assert warnings(rows, family=None) == []
    assert warnings(rows, columns=OPTIONAL - {"true_cfg_scale"}) == []


@pytest.mark.parametrize("driver", [True, False])
def test_where_a_gpu_may_be_only_a_missing_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: bool
) -> None:
    monkeypatch.setattr(cluster, "_GPU_DRIVERS", (str(tmp_path if driver else tmp_path / "none"),))

    def possible(**options: Any) -> None:
        require_possible(make_spec(manifest=("m.jsonl",), model="tiny:flux.1-dev", out="out", **options))

    with pytest.raises(AttentionError, match="package torch-npu is not installed"):
        possible(attention="_native_npu")
    possible(attention="_native_npu", address="10.0.0.1:6379")  # a cluster's machines may have it
    if driver:
        possible(attention="sdpa-cudnn", gpus=2)
        return
    with pytest.raises(AttentionError, match="runs on CUDA GPUs only"):
        possible(attention="sdpa-cudnn")
    with pytest.raises(SpecError, match="gpus 2: Ray sees no GPU here"):
        possible(gpus=2)
