"""What the model makes of rows beyond what makes one bad."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.rules import watch_negatives
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
