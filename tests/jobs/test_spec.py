"""What may be asked for; what may not is said in one line with the value and the limit."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.rules import model_rules
from jobs.spec import FREE_ON_RESUME, JobSpec, make_spec
from manifests.errors import SpecError
from tests.jobs.facts import worker_facts

NEEDED: dict[str, Any] = {"manifest": ("m.jsonl",), "model": "tiny:flux.1-dev", "out": "out"}


def test_the_defaults_are_those_of_the_manual() -> None:
    spec = make_spec(**NEEDED)
    assert (spec.seed, spec.format, spec.attention, spec.batch_size, spec.dtype) == (0, "png", "auto", "auto", "auto")
    silent = {"gpus", "workers", "compile", "steps", "width", "height", "limit", "address", "negative_prompt"}
    assert all(getattr(spec, name) is None for name in silent)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": -1}, "gpus: -1: must be at least 0"),
        ({"workers": 0}, "workers: 0: must be at least 1"),
        ({"workers": 3, "gpus": 2}, "workers 3 is more than gpus 2; every worker takes one GPU"),
        ({"batch_size": 0}, "batch_size: 0: must be auto, or from 1 to 64"),
        ({"batch_size": 65}, "batch_size: 65: must be auto, or from 1 to 64"),
        ({"batch_size": "many"}, "batch_size: 'many': "),
        ({"steps": "many"}, "steps: 'many': "),
        ({"steps": 0}, "steps: 0: must be at least 1"),
        ({"width": 8}, "width: 8: must be at least 16"),
        ({"guidance_scale": float("inf")}, "guidance_scale: inf: must be a finite number of at least 0"),
        ({"seed": -1}, "seed: -1: must be at least 0"),
        ({"seed": 2**63}, f"seed: {2**63}: must be less than {2**63}"),
        ({"format": "gif"}, "format: 'gif': must be 'png', 'webp' or 'jpeg'"),
        ({"dtype": "int8"}, "dtype: 'int8': must be 'auto', 'bfloat16', 'float16' or 'float32'"),
        ({"column": ("prompts=x",)}, "--column prompts=x: prompts is no column of renderay; did you mean prompt?"),
        ({"limit": 0}, "limit: 0: must be at least 1"),
        ({"lease_seconds": -1}, "lease_seconds: -1: must be at least 0"),
        ({"stall_timeout": 1}, "stall_timeout: 1: must be at least 5"),
        ({"encode_threads": 65}, "encode_threads: 65: must be at most 64"),
        ({"model": ""}, "model: '': "),
        ({"stepz": 4}, "stepz: no such option; known: manifest, model, out"),
    ],
)
def test_a_wrong_value_is_refused_with_its_limit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        make_spec(**(NEEDED | options))
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["model", "out", "manifest"])
def test_what_is_needed_is_asked_for_by_its_option(name: str) -> None:
    with pytest.raises(SpecError, match=f"^{name}: not given"):
        make_spec(**{key: value for key, value in NEEDED.items() if key != name})


def test_one_wrong_value_is_told_once() -> None:
    for options in ({"batch_size": "many"}, {"batch_size": 0}, {"gpus": "x"}):
        with pytest.raises(SpecError) as refused:
            make_spec(**NEEDED, **options)
        assert str(refused.value).count(next(iter(options))) == 1


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SpecError, match=r"gpus: -1: .*; seed: -2: "):
        make_spec(**NEEDED, gpus=-1, seed=-2)


def test_text_from_the_command_line_becomes_numbers() -> None:
    spec = make_spec(**NEEDED, batch_size="4", steps="28", guidance_scale="2.5", seed=str(2**63 - 1), gpus="0")
    assert (spec.batch_size, spec.steps, spec.guidance_scale, spec.seed, spec.gpus) == (4, 28, 2.5, 2**63 - 1, 0)


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_spec(**NEEDED).steps = 3  # type: ignore[misc]


def test_rows_take_the_jobs_defaults_before_the_models() -> None:
    rules = model_rules(worker_facts().model, make_spec(**NEEDED, steps=28, negative_prompt="").row_defaults)
    assert (rules.steps, rules.width, rules.height, rules.negative_prompt) == (28, 64, 64, "")
    assert rules.size_multiple == 16
    with pytest.raises(SpecError, match="width: 72: must be a multiple of 16"):
        model_rules(worker_facts().model, make_spec(**NEEDED, width=72).row_defaults)


def test_an_option_that_the_pipeline_has_no_argument_for_is_refused() -> None:
    facts = worker_facts(columns=frozenset({"steps"})).model
    with pytest.raises(SpecError, match="FluxPipeline takes no such argument"):
        model_rules(facts, make_spec(**NEEDED, true_cfg_scale=4.0).row_defaults)


def test_what_is_free_on_resume_is_an_option() -> None:
    assert {
        "manifest", "out", "limit", "gpus", "workers", "address", "lease_seconds", "stall_timeout", "encode_threads",
        "gpus_per_worker", "gpu_memory", "offload", "allow_pickle", "trust_remote_code",
    } == FREE_ON_RESUME  # fmt: skip
    assert set(JobSpec.model_fields) >= FREE_ON_RESUME
